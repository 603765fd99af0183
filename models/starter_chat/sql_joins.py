"""Question families that need more than one table, an id, or a sentence of their own.

Each family is a list of wordings and one SQL text with the same slots.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from models.starter_chat.sql_domain import BY_NAME, CATEGORIES, COUNTRIES
from models.starter_chat.sql_english import NUMBER_WORDS, number_text, window_text
from models.starter_chat.sql_query import draw_number, draw_window

Slots = dict[str, str]


@dataclass(frozen=True)
class Family:
    """``questions`` and ``sql`` share slots: n, country, category, status, window, child."""

    name: str
    questions: tuple[str, ...]
    sql: str
    weight: int = 2


_TOP_USERS = "SELECT u.name, {agg} AS {alias} FROM users u JOIN orders o ON o.user_id = u.id{where} " \
             "GROUP BY u.id, u.name ORDER BY {alias} DESC LIMIT {n};"
_PRODUCT_SALES = "SELECT p.name, SUM({what}) AS {alias} FROM products p JOIN order_items i ON " \
                 "i.product_id = p.id GROUP BY p.id, p.name ORDER BY {alias} DESC LIMIT {n};"

FAMILIES: tuple[Family, ...] = (
    Family("top spenders", (
        "top {n} users by revenue", "top {n} customers by total spend", "who are our {n} best customers",
        "which {n} users spent the most", "show me the {n} customers who spent the most",
        "top {n} users by total order value", "{n} biggest spenders", "top {n} customers by revenue",
        "list the {n} users with the highest revenue"),
        _TOP_USERS.replace("{agg}", "SUM(o.total)").replace("{alias}", "revenue")
        .replace("{where}", ""), 3),
    Family("top spenders in window", (
        "top {n} users by revenue {window}", "top {n} customers by total spend {window}",
        "which {n} users spent the most {window}", "{n} biggest spenders {window}"),
        _TOP_USERS.replace("{agg}", "SUM(o.total)").replace("{alias}", "revenue")
        .replace("{where}", " WHERE {window_sql:o}")),
    Family("most orders", (
        "top {n} users by number of orders", "which {n} users have the most orders",
        "{n} customers with the most orders", "who ordered most often, top {n}",
        "show the {n} users with the most orders"),
        _TOP_USERS.replace("{agg}", "COUNT(*)").replace("{alias}", "orders").replace("{where}", "")),
    Family("best sellers", (
        "top {n} best selling products", "{n} best selling products", "what are the {n} best sellers",
        "which {n} products sold the most", "top {n} products by units sold",
        "show me the {n} most sold products", "{n} most popular products"),
        _PRODUCT_SALES.replace("{what}", "i.quantity").replace("{alias}", "sold"), 3),
    Family("product revenue", (
        "top {n} products by revenue", "which {n} products made the most revenue",
        "{n} products with the highest revenue", "show the {n} products that earn the most"),
        _PRODUCT_SALES.replace("{what}", "i.quantity * i.unit_price")
        .replace("{alias}", "revenue")),
    Family("category products", (
        "products in the {category} category", "get all {category} products",
        "list all products in {category}", "show me products from category {category}",
        "which products are in the category {category}", "find products of category {category}"),
        "SELECT p.* FROM products p JOIN categories c ON c.id = p.category_id "
        "WHERE c.name = '{category}';"),
    Family("category products price", (
        "products in the {category} category under {n}", "{category} products cheaper than {n}",
        "list {category} products below {n}", "show {category} products that cost less than {n}"),
        "SELECT p.* FROM products p JOIN categories c ON c.id = p.category_id "
        "WHERE c.name = '{category}' AND p.price < {n};"),
    Family("products per category", (
        "how many products per category", "number of products in each category",
        "count products by category", "products per category", "count of products by category"),
        "SELECT c.name, COUNT(*) FROM categories c JOIN products p ON p.category_id = c.id "
        "GROUP BY c.name;", 1),
    Family("price per category", (
        "average price per category", "average product price by category",
        "what is the average price in each category", "mean price of products per category"),
        "SELECT c.name, AVG(p.price) FROM categories c JOIN products p ON p.category_id = c.id "
        "GROUP BY c.name;", 1),
    Family("revenue per country", (
        "revenue per country", "total revenue by country", "how much revenue per country",
        "order total by country", "sales by country", "show revenue for each country"),
        "SELECT u.country, SUM(o.total) FROM users u JOIN orders o ON o.user_id = u.id "
        "GROUP BY u.country;", 1),
    Family("revenue per country in window", (
        "revenue per country {window}", "total revenue by country {window}",
        "show revenue for each country {window}"),
        "SELECT u.country, SUM(o.total) FROM users u JOIN orders o ON o.user_id = u.id "
        "WHERE {window_sql:o} GROUP BY u.country;"),
    Family("orders from country", (
        "orders from {country}", "get all orders of users from {country}",
        "show orders placed by customers from {country}", "list orders by users in {country}",
        "find all orders from customers in {country}"),
        "SELECT o.* FROM orders o JOIN users u ON u.id = o.user_id "
        "WHERE u.country = '{country_sql}';"),
    Family("orders from country in window", (
        "orders from {country} {window}", "get all orders of users from {country} {window}",
        "show orders placed by customers from {country} {window}"),
        "SELECT o.* FROM orders o JOIN users u ON u.id = o.user_id "
        "WHERE u.country = '{country_sql}' AND {window_sql:o};"),
    Family("revenue of country", (
        "total revenue from {country}", "revenue of customers from {country}",
        "how much did users from {country} spend", "what is the total revenue from {country}"),
        "SELECT SUM(o.total) FROM orders o JOIN users u ON u.id = o.user_id "
        "WHERE u.country = '{country_sql}';"),
    Family("tickets of plan", (
        "{status} tickets of {plan} users", "show {status} tickets from users on the {plan} plan",
        "list {status} tickets opened by {plan} customers"),
        "SELECT t.* FROM tickets t JOIN users u ON u.id = t.user_id "
        "WHERE t.status = '{status}' AND u.plan = '{plan}';"),
    Family("never ordered", (
        "users without orders", "users who never ordered", "customers with no orders",
        "which users have not placed any order", "find users who have no orders",
        "customers who never bought anything", "get all users that have never placed an order"),
        "SELECT u.* FROM users u LEFT JOIN orders o ON o.user_id = u.id WHERE o.id IS NULL;"),
    Family("never reviewed", (
        "products without reviews", "products that have no reviews", "which products have no reviews",
        "find products nobody reviewed", "products that were never reviewed"),
        "SELECT p.* FROM products p LEFT JOIN reviews r ON r.product_id = p.id "
        "WHERE r.id IS NULL;", 1),
    Family("many orders", (
        "users with more than {n} orders", "customers with over {n} orders",
        "which users placed more than {n} orders", "find users who have more than {n} orders",
        "get users with more than {n} orders"),
        "SELECT u.id, u.name, COUNT(*) AS orders FROM users u JOIN orders o ON o.user_id = u.id "
        "GROUP BY u.id, u.name HAVING COUNT(*) > {n};", 3),
    Family("many tickets", (
        "users with more than {n} tickets", "which users opened more than {n} tickets",
        "customers with over {n} support tickets"),
        "SELECT u.id, u.name, COUNT(*) AS tickets FROM users u JOIN tickets t ON t.user_id = u.id "
        "GROUP BY u.id, u.name HAVING COUNT(*) > {n};"),
    Family("product ratings", (
        "average rating per product", "average rating of each product",
        "what is the average rating for every product", "mean rating by product"),
        "SELECT p.name, AVG(r.rating) FROM products p JOIN reviews r ON r.product_id = p.id "
        "GROUP BY p.id, p.name;", 1),
    Family("best rated", (
        "top {n} rated products", "{n} best rated products", "which {n} products have the best rating",
        "top {n} products by average rating", "{n} products with the highest average rating"),
        "SELECT p.name, AVG(r.rating) AS rating FROM products p JOIN reviews r ON "
        "r.product_id = p.id GROUP BY p.id, p.name ORDER BY rating DESC LIMIT {n};"),
    Family("children of user", (
        "{child} of user {n}", "get all {child} of user {n}", "show {child} for user {n}",
        "list the {child} of user {n}", "all {child} by user {n}", "{child} for user id {n}",
        "show me the {child} of customer {n}", "find {child} belonging to user {n}"),
        "SELECT * FROM {child_sql} WHERE user_id = {n};", 4),
    Family("count of user", (
        "how many {child} does user {n} have", "count the {child} of user {n}",
        "number of {child} for user {n}", "how many {child} for user id {n}"),
        "SELECT COUNT(*) FROM {child_sql} WHERE user_id = {n};", 3),
    Family("spent by user", (
        "how much did user {n} spend", "total spend of user {n}", "how much has user {n} spent",
        "total order value of user {n}", "revenue from user {n}"),
        "SELECT SUM(total) FROM orders WHERE user_id = {n};"),
    Family("row by id", (
        "{one} {n}", "get {one} {n}", "show {one} {n}", "show me {one} number {n}",
        "find {one} with id {n}", "get the {one} with id {n}", "{one} with id {n}", "{one} id {n}",
        "details of {one} {n}", "fetch {one} {n}"),
        "SELECT * FROM {one_sql} WHERE id = {n};", 4),
    Family("items of order", (
        "items of order {n}", "order items for order {n}", "what is in order {n}",
        "show the items in order {n}", "which products are in order {n}", "line items of order {n}"),
        "SELECT p.name, i.quantity, i.unit_price FROM order_items i JOIN products p ON "
        "p.id = i.product_id WHERE i.order_id = {n};"),
    Family("payments of order", (
        "payments of order {n}", "payments for order {n}", "show payments of order {n}",
        "how was order {n} paid", "list the payments for order {n}"),
        "SELECT * FROM payments WHERE order_id = {n};"),
    Family("reviews of product", (
        "reviews of product {n}", "show the reviews for product {n}", "all reviews of product {n}",
        "get reviews for product id {n}", "what do people say about product {n}"),
        "SELECT * FROM reviews WHERE product_id = {n};"),
    Family("rating of product", (
        "average rating of product {n}", "what is the rating of product {n}",
        "mean rating for product {n}", "how is product {n} rated"),
        "SELECT AVG(rating) FROM reviews WHERE product_id = {n};"),
    Family("idle users", (
        "users who have not logged in for {n} days", "users that did not log in in the last {n} days",
        "inactive users for {n} days", "users who haven't logged in for {n} days",
        "find users with no login in the last {n} days", "users not seen for {n} days"),
        "SELECT * FROM users WHERE last_login_at < NOW() - INTERVAL '{n} days';", 3),
    Family("recent logins", (
        "users who logged in in the last {n} days", "users who logged in within the last {n} days",
        "users seen in the last {n} days", "who logged in in the past {n} days",
        "find users that logged in during the last {n} days"),
        "SELECT * FROM users WHERE last_login_at >= NOW() - INTERVAL '{n} days';", 3),
    Family("never logged in", (
        "users who never logged in", "users that have never logged in", "find users without a login",
        "which users never logged in"),
        "SELECT * FROM users WHERE last_login_at IS NULL;", 1),
    Family("out of stock", (
        "products out of stock", "which products are out of stock", "out of stock products",
        "sold out products", "show products with no stock", "products that are sold out"),
        "SELECT * FROM products WHERE stock = 0;", 1),
    Family("monthly revenue", (
        "revenue per month", "monthly revenue", "revenue by month", "total revenue per month",
        "how much revenue each month", "show monthly sales revenue"),
        "SELECT DATE_TRUNC('month', created_at) AS month, SUM(total) FROM orders GROUP BY month "
        "ORDER BY month;", 1),
    Family("total revenue", (
        "total revenue", "what is our total revenue", "how much revenue did we make",
        "sum of all orders", "what is the revenue"), "SELECT SUM(total) FROM orders;", 1),
    Family("revenue in window", (
        "total revenue {window}", "what is our revenue {window}", "revenue {window}",
        "how much revenue did we make {window}", "what did we earn {window}"),
        "SELECT SUM(total) FROM orders WHERE {window_sql};", 4),
    Family("active subscriptions revenue", (
        "monthly recurring revenue", "mrr", "what is our mrr", "recurring revenue",
        "total price of active subscriptions"),
        "SELECT SUM(price) FROM subscriptions WHERE status = 'active';", 1),
    Family("users and orders", (
        "list users with their orders", "users and their orders", "show each user with their orders",
        "join users and orders", "all orders with user names", "orders with the customer name"),
        "SELECT u.name, o.* FROM users u JOIN orders o ON o.user_id = u.id;", 1),
    Family("order count per user", (
        "number of orders per user", "how many orders does each user have", "count orders per user",
        "orders per customer", "order count by user"),
        "SELECT u.name, COUNT(*) FROM users u JOIN orders o ON o.user_id = u.id "
        "GROUP BY u.id, u.name;", 1),
)


def draw_join(rng: random.Random) -> tuple[Family, str, str, bool]:
    """(family, question, SQL, whether the SQL has free fillings)."""
    family = rng.choices(FAMILIES, [f.weight for f in FAMILIES])[0]
    question, sql = rng.choice(family.questions), family.sql
    for slot, fill in _SLOTS.items():
        if "{" + slot + "}" in question:
            question, sql = fill(rng, question, sql)
    return family, question, sql, sql != family.sql


def _fill_number(rng: random.Random, question: str, sql: str) -> tuple[str, str]:
    number = draw_number(rng)
    text = number_text(number, rng) if NUMBER_WORDS.get(number) else str(number)
    return question.replace("{n}", text), sql.replace("{n}", str(number))


def _fill_country(rng: random.Random, question: str, sql: str) -> tuple[str, str]:
    value = rng.choice(list(COUNTRIES))
    question = question.replace("{country}", rng.choice(COUNTRIES[value]))
    return question, sql.replace("{country_sql}", value)


def _fill_window(rng: random.Random, question: str, sql: str) -> tuple[str, str]:
    window = draw_window(rng, "created_at")
    joined = draw_window_sql(window.sql(), "o.created_at")
    sql = sql.replace("{window_sql:o}", joined).replace("{window_sql}", window.sql())
    return question.replace("{window}", window_text(window, rng)), sql


def draw_window_sql(sql: str, column: str) -> str:
    return sql.replace("created_at", column)


def _fill_both(slot: str, values: tuple[str, ...]) -> Callable[[random.Random, str, str],
                                                            tuple[str, str]]:
    def fill(rng: random.Random, question: str, sql: str) -> tuple[str, str]:
        value, mark = rng.choice(values), "{" + slot + "}"
        return question.replace(mark, value), sql.replace(mark, value)
    return fill


def _fill_child(rng: random.Random, question: str, sql: str) -> tuple[str, str]:
    table = rng.choice([t for t in BY_NAME.values() if t.owner])
    return question.replace("{child}", rng.choice(table.nouns)), sql.replace("{child_sql}", table.name)


def _fill_one(rng: random.Random, question: str, sql: str) -> tuple[str, str]:
    names = {"user": "users", "order": "orders", "product": "products", "ticket": "tickets",
             "invoice": "invoices", "payment": "payments", "subscription": "subscriptions",
             "review": "reviews", "customer": "users", "category": "categories"}
    word = rng.choice(list(names))
    return question.replace("{one}", word), sql.replace("{one_sql}", names[word])


_SLOTS: dict[str, Callable[[random.Random, str, str], tuple[str, str]]] = {
    "n": _fill_number, "country": _fill_country, "window": _fill_window,
    "category": _fill_both("category", CATEGORIES),
    "status": _fill_both("status", ("open", "pending", "closed")),
    "plan": _fill_both("plan", ("free", "pro", "enterprise")),
    "child": _fill_child, "one": _fill_one,
}
