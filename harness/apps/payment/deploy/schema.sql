-- Loaded once, when the volume is empty.
CREATE TABLE accounts (
    id integer PRIMARY KEY,
    owner text NOT NULL,
    balance_cents bigint NOT NULL
);

CREATE TABLE payments (
    id uuid PRIMARY KEY,
    account_id integer NOT NULL REFERENCES accounts,
    amount_cents bigint NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now()
);

INSERT INTO accounts
SELECT n, 'owner ' || n, 100000000 FROM generate_series(1, 50) AS n;
