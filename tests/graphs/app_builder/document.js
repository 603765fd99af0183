// As much of a document as the static page uses. DATA is its plan.

let network = 0;
globalThis.fetch = () => {
  network += 1;
};

class Element {
  constructor(tag) {
    this.tag = tag;
    this.children = [];
    this.attributes = {};
    this.listeners = {};
    this.value = "";
    this.checked = false;
  }
  setAttribute(name, value) {
    this.attributes[name] = value;
    if (name === "value") this.value = value;
    if (name === "checked") this.checked = true;
  }
  removeAttribute(name) {
    delete this.attributes[name];
  }
  addEventListener(name, listener) {
    this.listeners[name] = listener;
  }
  append(...children) {
    this.children.push(...children);
  }
  replaceChildren(...children) {
    this.children = children;
  }
  set textContent(text) {
    this.children = [text];
  }
  get textContent() {
    return this.children.map((c) => (typeof c === "string" ? c : c.textContent)).join("");
  }
  all(tag) {
    const inner = this.children.filter((c) => c instanceof Element);
    return inner.flatMap((c) => [...(c.tag === tag ? [c] : []), ...c.all(tag)]);
  }
}

const root_ = new Element("div");
const plan_ = new Element("script");
plan_.textContent = DATA;
globalThis.document = {
  getElementById: (id) => (id === "root" ? root_ : plan_),
  createElement: (tag) => new Element(tag),
};
