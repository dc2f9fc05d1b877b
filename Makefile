# What a developer does here. `make demo` and `make test` work on a fresh clone.
.PHONY: demo test soak bench bench-billing bench-entitlements bench-holds lint sqlx openapi fmt clean

# Queries are checked against .sqlx, so that building needs no database.
export SQLX_OFFLINE = true

demo:
	scripts/install-prerequisites && cargo run -p usance -- demo

test:
	scripts/test

soak:
	USANCE_PROGRAMMES=1000000 cargo test --release -p usance-core
	USANCE_PROGRAMMES=100 NEXTEST_PROFILE=soak scripts/test -p usance ledger::
	USANCE_PROGRAMMES=1000 USANCE_REPEATS=20 USANCE_ROUNDS=10000 NEXTEST_PROFILE=soak scripts/test --release -p usance holds::
	USANCE_KILLS=50 USANCE_T11_ROUNDS=200 USANCE_GUESSES=10000 NEXTEST_PROFILE=soak scripts/test -p usance kill:: schedulers:: guesses_

bench:
	scripts/install-prerequisites && cargo bench --profile dist -p usance --bench ingest

bench-billing:
	scripts/install-prerequisites && cargo bench --profile dist -p usance --bench billing

bench-entitlements:
	scripts/install-prerequisites && cargo bench --profile dist -p usance --bench entitlements

bench-holds:
	scripts/install-prerequisites && cargo bench --profile dist -p usance --bench holds

lint:
	cargo fmt --all --check && cargo clippy --workspace --all-targets -- -D warnings

sqlx:
	scripts/sqlx-prepare

openapi:
	mkdir -p target && cargo run -p usance -- openapi >target/openapi.json && cp target/openapi.json openapi.json

fmt:
	cargo fmt --all

clean:
	cargo clean
