"""What words of a description usually mean: types of fields, fields of well-known things.

Place in the path: inside the app builder, read by `rules`. It is data; nothing here is decided.
"""

from graphs.app_builder.plan import FieldType


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


TYPES: dict[FieldType, str] = {
    "password": "password pin passcode",
    "email": "email mail",
    "phone": "phone telephone mobile fax",
    "url": "url website link homepage avatar photo picture image logo thumbnail",
    "money": "price amount cost total budget salary fee balance revenue income payment value tax"
    " subtotal rent wage spend discount deposit",
    "integer": "quantity count age stock year number capacity pages guests seats points score"
    " servings minutes hours calories attendees population floor bedrooms bathrooms rooms steps"
    " reps sets",
    "number": "rating weight height length width distance temperature percentage latitude"
    " longitude duration progress rate grade area",
    "datetime": "time timestamp starts ends start end appointment",
    "date": "date deadline birthday due birth dob expiry anniversary deadline departure arrival",
    "boolean": "active done checkbox toggle completed complete paid published enabled available"
    " archived verified"
    " subscribed approved featured urgent resolved closed favorite favourite remember agree"
    " consent visible public private shipped returned flag flagged",
    "long_text": "description notes note body content bio comment comments message summary details"
    " text instructions ingredients abstract remarks feedback biography reason about",
}
"""Words by the type of a field that ends in one of them. The rest are texts."""

TYPE_WORDS: dict[str, FieldType] = {
    "text": "text",
    "string": "text",
    "long text": "long_text",
    "textarea": "long_text",
    "multiline": "long_text",
    "markdown": "long_text",
    "password": "password",
    "email": "email",
    "phone": "phone",
    "url": "url",
    "link": "url",
    "integer": "integer",
    "int": "integer",
    "whole number": "integer",
    "number": "number",
    "numeric": "number",
    "decimal": "number",
    "float": "number",
    "money": "money",
    "currency": "money",
    "usd": "money",
    "eur": "money",
    "date": "date",
    "datetime": "datetime",
    "date and time": "datetime",
    "timestamp": "datetime",
    "time": "datetime",
    "boolean": "boolean",
    "bool": "boolean",
    "checkbox": "boolean",
    "yes/no": "boolean",
    "flag": "boolean",
    "toggle": "boolean",
}
"""Types as people write them behind a field: `age (number)`."""

CHOICES: dict[str, str] = {
    "status": "Open,In progress,Done",
    "state": "Open,In progress,Done",
    "stage": "Lead,Contacted,Won,Lost",
    "priority": "Low,Medium,High",
    "severity": "Low,Medium,High,Critical",
    "category": "General,Work,Personal,Other",
    "type": "Standard,Special",
    "role": "Member,Editor,Administrator",
    "gender": "Female,Male,Other",
    "size": "Small,Medium,Large",
    "level": "Beginner,Intermediate,Advanced",
    "difficulty": "Easy,Medium,Hard",
    "plan": "Free,Pro,Enterprise",
    "currency": "EUR,USD,GBP",
}
"""What a field of such a name is chosen from when nothing is said."""

FIELDS: dict[str, str] = {
    "task": "title,description,status,priority,due date",
    "todo": "title,done,due date",
    "project": "name,description,status,deadline",
    "user": "name,email,role,active",
    "customer": "name,email,phone,address",
    "client": "name,email,phone,company",
    "contact": "name,email,phone,company,notes",
    "company": "name,website,phone,address",
    "deal": "name,amount,stage,close date",
    "lead": "name,email,phone,stage",
    "product": "name,description,price,stock,category",
    "item": "name,description,quantity",
    "order": "number,order date,status,total",
    "invoice": "number,invoice date,due date,amount,paid",
    "payment": "amount,payment date,method,paid",
    "expense": "title,amount,expense date,category,notes",
    "transaction": "description,amount,transaction date,category",
    "post": "title,body,author,published",
    "article": "title,body,author,published",
    "comment": "author,body,comment date",
    "note": "title,body,note date",
    "event": "title,description,location,start,end",
    "booking": "name,email,booking date,guests,status",
    "reservation": "name,phone,reservation date,guests",
    "appointment": "name,phone,appointment date,notes",
    "book": "title,author,isbn,year,genre",
    "movie": "title,director,year,genre,rating",
    "song": "title,artist,album,year",
    "recipe": "title,ingredients,instructions,servings,minutes",
    "employee": "name,email,phone,department,salary",
    "student": "name,email,birthday,grade",
    "teacher": "name,email,subject",
    "course": "title,description,teacher,start date",
    "lesson": "title,body,minutes",
    "patient": "name,birthday,phone,notes",
    "doctor": "name,email,phone,specialty",
    "vehicle": "make,model,year,price",
    "car": "make,model,year,price",
    "property": "address,price,area,bedrooms",
    "ticket": "title,description,status,priority",
    "issue": "title,description,status,severity",
    "bug": "title,description,status,severity",
    "team": "name,description",
    "member": "name,email,role",
    "supplier": "name,email,phone",
    "category": "name,description",
    "workout": "name,workout date,minutes,calories",
    "exercise": "name,sets,reps,weight",
    "habit": "name,frequency,active",
    "goal": "title,target,progress,deadline",
    "review": "author,rating,body",
    "message": "author,body,sent date",
    "job": "title,company,location,salary",
    "login": "email,password,remember",
    "registration": "name,email,password",
    "signup": "name,email,password",
    "profile": "name,email,bio,website",
    "feedback": "name,email,rating,message",
    "address": "street,city,postcode,country",
    "plant": "name,species,watering date,notes",
    "pet": "name,species,birthday,notes",
    "room": "name,capacity,floor",
    "asset": "name,serial,purchase date,value",
}
"""Fields of what is named without any."""

DOMAINS: dict[str, str] = {
    "blog": "post,comment",
    "crm": "company,contact,deal",
    "shop": "product,customer,order",
    "store": "product,customer,order",
    "e-commerce": "product,customer,order",
    "ecommerce": "product,customer,order",
    "inventory": "product,supplier",
    "kanban": "task",
    "to-do": "todo",
    "helpdesk": "ticket,customer",
    "accounting": "invoice,payment",
    "budget": "expense",
    "finance": "transaction",
    "fitness": "workout,exercise",
    "library": "book,member",
    "school": "student,teacher,course",
    "clinic": "patient,doctor,appointment",
    "hospital": "patient,doctor,appointment",
    "restaurant": "reservation",
    "hotel": "room,booking",
    "recruiting": "job",
    "calendar": "event",
}
"""Things that an app of such a kind keeps."""

APP_WORDS = _set(
    "app application manager tracker system site website platform tool portal board planner"
    " organizer organiser catalog catalogue software solution program dashboard admin panel"
    " database journal diary log register directory list management tracking"
) | set(DOMAINS)
"""Words that end the name of an app, and not of what it keeps."""

COMPONENT_WORDS = {
    "table": "table",
    "grid": "table",
    "datagrid": "table",
    "list": "list",
    "feed": "list",
    "gallery": "list",
    "cards": "list",
    "form": "form",
    "editor": "form",
    "wizard": "form",
    "login": "form",
    "signup": "form",
    "detail": "detail",
    "details": "detail",
    "card": "detail",
    "profile": "detail",
    "page": "detail",
    "dashboard": "dashboard",
    "chart": "dashboard",
    "statistics": "dashboard",
    "stats": "dashboard",
    "overview": "dashboard",
    "report": "dashboard",
    "summary": "dashboard",
}
"""What a component is, by the words that name it; those that are sure come first."""

ACTION_WORDS = {
    "create": "create creates creating add adds adding insert register new",
    "edit": "edit edits editing update updates updating change changes modify rename",
    "delete": "delete deletes deleting remove removes removing",
    "search": "search searches searchable searching find filter filters filtering filterable",
    "sort": "sort sorts sortable sorting sorted ordered",
    "export": "export exports exporting csv download",
}

FILLERS = _set(
    "a an the its their his her my our your each every some any all own new simple basic nice"
    " modern responsive beautiful small clean field fields column columns input inputs"
    " attribute attributes optional required mandatory unique one several multiple many"
    " various different list of"
)
"""Words around the name of a thing that are no part of it."""
FEATURES = _set(
    "search searching sorting sort filter filters filtering pagination authentication auth login"
    " dark mode theme export import crud validation notifications roles permissions drag drop"
    " reminders charts chart statistics dashboard"
)
"""What is asked of an app beside what it keeps."""
EXTRAS = _set(
    "alerts notifications reminders reports charts analytics statistics permissions login logins"
    " authentication authorization mode support"
)
"""Last words of features that are named in more than one word: `low stock alerts`."""
ASKING = _set(
    "create build make want need write generate design develop me display displays show shows"
    " render renders using"
)
"""Words of who asks, before the name of what is asked for."""
NO_THINGS = _set(
    "user people person everything data information details something thing things way ways"
    " use work works react vue component components button buttons page pages home"
)
"""Plurals and objects that name nothing to keep, unless they are declared."""
