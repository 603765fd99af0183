// What somebody does with the page, and what it then says.

const named = (text) => root_.all("button").find((b) => b.textContent === text);
const click = (text) => named(text).listeners.click();
const told = { tabs: root_.all("nav")[0].all("button").map((b) => b.textContent) };
click("Customers");
told.rows = root_.all("tbody")[0].all("tr").length;
click("Add");
const submit = () => root_.all("form")[0].listeners.submit({ preventDefault() {} });
submit();
told.refused = root_.all("p").map((p) => p.textContent).filter((text) => text !== "");
root_.all("input")[0].value = "Barbara <b>Liskov</b>";
submit();
told.added = root_.all("tbody")[0].all("tr").length;
root_.all("input")[0].listeners.input({ target: { value: "liskov" } });
told.found = root_.all("tbody")[0].all("tr").length;
told.network = network;
console.log(JSON.stringify(told));
