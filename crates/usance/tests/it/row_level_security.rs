//! Row-level security, read from PostgreSQL's own catalogue and tried with queries that forget the tenant.

use sqlx::Row;
use usance_testkit::{TestDatabase, TestServer};

/// Tables without tenant: the migrations' own.
const NOT_OF_A_TENANT: [&str; 1] = ["_sqlx_migrations"];
/// Indexes that cannot begin with the tenant, because the tenant is not known yet when they are read.
const FOUND_BEFORE_THE_TENANT: [&str; 8] = [
    "api_keys_key_hash_key",
    "due_work_due_at_idx",
    "identity_providers_id_key",
    "mails_next_attempt_at_idx",
    "members_email_idx",
    "tenants_slug_key",
    "tenants_email_key",
    "tenants_stripe_connect_account_id_key",
];

/// Indexes in which every usage event must find its place: they begin with what tells rows apart, because comparing the tenant
/// first made an event a tenth more expensive.
const FOUND_BY_EVERY_EVENT: [&str; 4] =
    ["event_keys_pkey", "events_customer_id_idx", "usage_buckets_pkey", "usage_values_pkey"];

async fn names(database: &TestDatabase, sql: &'static str) -> Vec<String> {
    let mut connection = database.connect().await;
    sqlx::query(sql).fetch_all(&mut connection).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn every_table_is_under_forced_row_level_security() {
    let database = TestDatabase::new().await;

    let open = names(
        &database,
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
        AND relkind IN ('r', 'p') AND NOT (relrowsecurity AND relforcerowsecurity) ORDER BY 1",
    )
    .await;
    assert_eq!(open, NOT_OF_A_TENANT);
    let without_policy = names(
        &database,
        "SELECT relname::text FROM pg_class c WHERE relnamespace = 'public'::regnamespace
        AND relkind IN ('r', 'p') AND relrowsecurity AND NOT relispartition
        AND NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid AND polname = 'tenant'
            AND pg_get_expr(polqual, polrelid) LIKE '%tenant_id = (current_setting(''app.tenant_id''%' )",
    )
    .await;
    assert_eq!(without_policy, Vec::<String>::new());
    let mode_forgotten = names(&database, "SELECT relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'livemode'
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
        AND NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid AND polname = 'tenant'
            AND pg_get_expr(polqual, polrelid) LIKE '%livemode = (current_setting(''app.livemode''%' )").await;
    assert_eq!(mode_forgotten, Vec::<String>::new());
}

#[tokio::test]
async fn every_key_and_index_begins_with_the_tenant() {
    let database = TestDatabase::new().await;

    let mut others = names(&database, "SELECT i.relname::text FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
        WHERE t.relnamespace = 'public'::regnamespace AND t.relname <> '_sqlx_migrations'
        AND pg_get_indexdef(x.indexrelid, 1, true) <> 'tenant_id' ORDER BY 1").await;
    let expected = FOUND_BEFORE_THE_TENANT.into_iter().chain(FOUND_BY_EVERY_EVENT);
    let mut expected: Vec<String> = expected.map(str::to_owned).collect();
    others.sort();
    expected.sort();
    assert_eq!(others, expected);
    let foreign = names(&database, "SELECT conname::text FROM pg_constraint WHERE contype = 'f' AND connamespace = 'public'::regnamespace
        AND (SELECT attname FROM pg_attribute WHERE attrelid = conrelid AND attnum = conkey[1]) <> 'tenant_id'").await;
    assert_eq!(foreign, Vec::<String>::new());
}

#[tokio::test]
async fn no_role_of_the_server_owns_a_table_or_may_look_past_the_policies() {
    let database = TestDatabase::new().await;

    let powerful = names(
        &database,
        "SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'usance%' AND (rolsuper OR rolbypassrls)",
    )
    .await;
    assert_eq!(powerful, Vec::<String>::new());
    let owners = names(
        &database,
        "SELECT DISTINCT r.rolname::text FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')",
    )
    .await;
    assert_eq!(owners, ["usance_owner"]);
    let truncating = names(&database, "SELECT relname::text FROM pg_class c, unnest(ARRAY['usance_app', 'usance_writer', 'usance_system', 'usance_customer']) AS role
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND has_table_privilege(role, c.oid, 'TRUNCATE')").await;
    assert_eq!(truncating, Vec::<String>::new());
    let definers = names(
        &database,
        "SELECT proname::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef",
    )
    .await;
    assert_eq!(definers, ["ensure_event_partition"]);
    let views = names(&database, "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('v', 'm')").await;
    assert_eq!(views, Vec::<String>::new());
}

#[tokio::test]
async fn a_query_without_tenant_fails_instead_of_answering() {
    let server = TestServer::start().await;
    let client = server.client.tenant("somebody").await;
    client.prepare_starter_plan().await;
    client.subscribe_to_starter("acme").await;
    client.post("/events", serde_json::json!({ "id": "e1", "type": "llm_call", "customer": "acme", "properties": { "tokens": 1 } })).await.expect(200);
    let tables = names(&server.database, "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
        AND relkind IN ('r', 'p') AND NOT relispartition AND has_table_privilege('usance_app', oid, 'SELECT') ORDER BY 1").await;
    assert!(tables.len() > 20, "{tables:?}");

    for table in tables {
        let mut connection = server.database.connect().await;
        sqlx::query("SELECT set_config('role', 'usance_app', false)").execute(&mut connection).await.unwrap();
        let answer = sqlx::query(sqlx::AssertSqlSafe(format!("SELECT * FROM {table}")))
            .fetch_all(&mut connection)
            .await;
        let error = answer.err().unwrap_or_else(|| panic!("{table} answered without a tenant"));
        assert!(error.to_string().contains("app."), "{table}: {error}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_customer_changes_nothing_and_reads_no_secret() {
    let database = TestDatabase::new().await;
    let changed = names(
        &database,
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
        AND has_table_privilege('usance_customer', oid, 'INSERT, UPDATE, DELETE, TRUNCATE')",
    )
    .await;
    let read = names(
        &database,
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
        AND has_any_column_privilege('usance_customer', oid, 'SELECT') ORDER BY 1",
    )
    .await;

    assert_eq!(changed, Vec::<String>::new());
    let secrets = [
        "tenants",
        "members",
        "api_keys",
        "customer_tokens",
        "webhook_endpoints",
        "webhook_secrets",
        "events",
        "audit_entries",
    ];
    assert!(read.iter().all(|table| !secrets.contains(&table.as_str())), "{read:?}");
    assert!(read.contains(&"invoices".to_owned()));
}

#[tokio::test]
async fn the_login_itself_reaches_no_table() {
    let database = TestDatabase::new().await;
    let mut connection = database.connect().await;

    let answer = sqlx::query("SELECT count(*) FROM customers").fetch_one(&mut connection).await;

    assert!(answer.unwrap_err().to_string().contains("permission denied"));
}

#[tokio::test]
async fn immutable_rows_cannot_be_changed_by_the_server() {
    let database = TestDatabase::new().await;

    for table in [
        "plan_versions",
        "prices",
        "plan_entitlements",
        "coupon_plans",
        "credit_notes",
        "credit_note_lines",
        "line_items",
        "billing_periods",
        "outbox_events",
        "audit_entries",
        "events",
        "event_keys",
        "event_corrections",
        "ledger_transfers",
        "ledger_links",
        "wallet_entries",
        "wallet_operations",
    ] {
        for role in ["usance_app", "usance_writer", "usance_system", "usance_customer"] {
            for privilege in ["UPDATE", "DELETE"] {
                if (table, privilege) == ("line_items", "DELETE") {
                    // Of drafts only, which are rated again: a trigger keeps those of an issued invoice.
                    continue;
                }
                let sql =
                    format!("SELECT has_table_privilege('{role}', '{table}', '{privilege}')::int::bigint");
                assert_eq!(database.number_as("usance_owner", &sql).await, 0, "{role} {privilege} {table}");
            }
        }
    }
}
