-- Loaded once, when the volume is empty.
CREATE TABLE products (
    id integer PRIMARY KEY,
    name text NOT NULL,
    price_cents integer NOT NULL,
    stock integer NOT NULL
);

CREATE TABLE orders (
    id uuid PRIMARY KEY,
    product_id integer NOT NULL REFERENCES products,
    status text NOT NULL DEFAULT 'placed',
    placed_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE order_queue (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id uuid NOT NULL REFERENCES orders
);

INSERT INTO products
SELECT n, 'product ' || n, 100 * n, 1000000 FROM generate_series(1, 100) AS n;
