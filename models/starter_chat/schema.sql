-- The sample schema that starter-chat writes SQL for (PostgreSQL dialect).
-- Columns with a CHECK list are closed: the model knows these values and no others.

CREATE TABLE users (
    id            bigint PRIMARY KEY,
    name          text NOT NULL,
    email         text NOT NULL UNIQUE,
    country       text NOT NULL CHECK (country IN (
        'Germany', 'France', 'Spain', 'Italy', 'Poland', 'United States', 'United Kingdom',
        'Canada', 'Brazil', 'India', 'Japan', 'Australia')),
    status        text NOT NULL CHECK (status IN ('active', 'inactive', 'suspended')),
    plan          text NOT NULL CHECK (plan IN ('free', 'pro', 'enterprise')),
    created_at    timestamptz NOT NULL DEFAULT now(),
    last_login_at timestamptz
);

CREATE TABLE categories (
    id   bigint PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (name IN (
        'books', 'electronics', 'clothing', 'toys', 'garden', 'sports', 'music', 'food'))
);

CREATE TABLE products (
    id          bigint PRIMARY KEY,
    category_id bigint NOT NULL REFERENCES categories (id),
    name        text NOT NULL,
    price       numeric(10, 2) NOT NULL,
    stock       integer NOT NULL,
    status      text NOT NULL CHECK (status IN ('available', 'discontinued')),
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE orders (
    id         bigint PRIMARY KEY,
    user_id    bigint NOT NULL REFERENCES users (id),
    status     text NOT NULL CHECK (status IN (
        'pending', 'paid', 'shipped', 'delivered', 'cancelled', 'refunded')),
    total      numeric(10, 2) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE order_items (
    id         bigint PRIMARY KEY,
    order_id   bigint NOT NULL REFERENCES orders (id),
    product_id bigint NOT NULL REFERENCES products (id),
    quantity   integer NOT NULL,
    unit_price numeric(10, 2) NOT NULL
);

CREATE TABLE payments (
    id         bigint PRIMARY KEY,
    order_id   bigint NOT NULL REFERENCES orders (id),
    method     text NOT NULL CHECK (method IN ('card', 'paypal', 'bank_transfer')),
    status     text NOT NULL CHECK (status IN ('succeeded', 'failed', 'pending')),
    amount     numeric(10, 2) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE subscriptions (
    id         bigint PRIMARY KEY,
    user_id    bigint NOT NULL REFERENCES users (id),
    plan       text NOT NULL CHECK (plan IN ('free', 'pro', 'enterprise')),
    status     text NOT NULL CHECK (status IN ('trialing', 'active', 'past_due', 'cancelled')),
    price      numeric(10, 2) NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE invoices (
    id         bigint PRIMARY KEY,
    user_id    bigint NOT NULL REFERENCES users (id),
    status     text NOT NULL CHECK (status IN ('draft', 'sent', 'paid', 'overdue')),
    amount     numeric(10, 2) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE tickets (
    id         bigint PRIMARY KEY,
    user_id    bigint NOT NULL REFERENCES users (id),
    subject    text NOT NULL,
    status     text NOT NULL CHECK (status IN ('open', 'pending', 'closed')),
    priority   text NOT NULL CHECK (priority IN ('low', 'normal', 'high', 'urgent')),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE reviews (
    id         bigint PRIMARY KEY,
    user_id    bigint NOT NULL REFERENCES users (id),
    product_id bigint NOT NULL REFERENCES products (id),
    rating     integer NOT NULL CHECK (rating BETWEEN 1 AND 5),
    created_at timestamptz NOT NULL DEFAULT now()
);
