//! Who may call what: every route with every kind of caller, compared with a table that a person reviews.

use std::{collections::BTreeSet, fmt::Write as _};

use reqwest::Method;
use serde_json::{Value, json};
use usance_core::access::Area;
use usance_http::permissions::{Access, routes};
use usance_testkit::{Client, TestServer};

/// What the server was seen to do, row by row.
const MATRIX: &str = include_str!("matrix.txt");
/// Which scope of a secret key each route asks for; a route that is not listed lets no such key in, or everybody.
const SCOPES: &str = include_str!("scopes.txt");
/// Pages, and the route of benchmarks: they are not in the `OpenAPI` document.
const UNDOCUMENTED: [&str; 4] = ["/", "/api/v1/constant", "/invoices/{token}", "/invoices/{token}/pdf"];

/// Every kind of caller, in the order of the columns.
async fn callers(server: &TestServer) -> Vec<(&'static str, Client)> {
    let registered = server.client.register("acme").await;
    let added = "WITH added AS (
            INSERT INTO members (tenant_id, id, email, password_hash, role, created_at, updated_at)
            SELECT m.tenant_id, gen_random_uuid(), r.role || '@example.com', m.password_hash, r.role, m.created_at, m.created_at
            FROM members m, unnest(ARRAY['viewer', 'developer', 'admin']) AS r (role)
            RETURNING id
        ) SELECT count(*)::text FROM added";
    assert_eq!(server.database.text_as_superuser(added).await, "3");
    let mut callers = vec![("nobody", server.client.clone())];
    for (role, email) in [
        ("viewer", "viewer@example.com"),
        ("developer", "developer@example.com"),
        ("admin", "admin@example.com"),
        ("owner", "acme@example.com"),
    ] {
        let login = json!({ "email": email, "password": "correct horse battery" });
        let signed_in = server.client.post("/auth/tenants/login", login).await.expect(200);
        assert_eq!(signed_in["user"]["role"], role);
        callers.push((role, server.client.with_key(signed_in["tokens"]["access"].as_str().unwrap())));
    }
    let owner = callers[4].1.clone();
    let scoped = owner.post("/api-keys", json!({ "name": "scoped", "scopes": ["usage:write"] })).await;
    let scoped = scoped.expect(201)["key"].as_str().unwrap().to_owned();
    let key = |name: &str| registered["tenant"][name].as_str().unwrap().to_owned();
    for (name, key) in [
        ("sk_test", key("api_key_test_secret")),
        ("sk_live", key("api_key_secret")),
        ("pk_test", key("api_key_test_public")),
        ("pk_live", key("api_key_public")),
        ("usage:write", scoped),
    ] {
        callers.push((name, server.client.with_key(&key)));
    }
    let client = server.client.with_key(registered["tenant"]["api_key_test_secret"].as_str().unwrap());
    // So that the names of the table are its own.
    let customer = json!({ "external_id": "customer", "name": "Customer", "currency": "USD" });
    client.post("/customers", customer).await.expect(201);
    let token = client.post("/customers/customer/tokens", json!({})).await.expect(201);
    callers.push(("customer", server.client.with_key(token["secret"].as_str().unwrap())));
    callers
}

/// Calls a route with a body that no route accepts, so that whoever is let in changes nothing.
async fn is_let_in(client: &Client, method: &str, path: &str) -> bool {
    let address = path
        .split('/')
        .map(|part| if part.starts_with('{') { part.replace(['{', '}'], "") } else { part.to_owned() });
    let address = format!("/{}", address.collect::<Vec<_>>().join("/"));
    let request = client.request(method.parse().unwrap(), &address);
    let request = if method == Method::GET { request } else { request.json(&json!({ "nonsense": true })) };
    let reply = client.send(request).await;
    assert!(reply.status < 500 && reply.status != 405, "{method} {path}: {}", reply.text);
    assert!(method == "GET" || reply.status >= 400, "{method} {path} did something: {}", reply.text);
    let code = reply.body["code"].as_str().unwrap_or_default();
    !matches!(code, "unauthorized" | "forbidden" | "test_mode_only")
}

#[tokio::test]
async fn every_route_lets_in_whom_the_table_says_and_nobody_else() {
    let server = TestServer::start().await;
    let callers = callers(&server).await;

    let mut seen = String::new();
    for (name, _) in &callers {
        write!(seen, "{name} ").unwrap();
    }
    seen = format!("{}\n", seen.trim_end());
    for route in routes().iter().filter(|route| route.path != "/api/v1/constant") {
        for (_, client) in &callers {
            seen.push(if is_let_in(client, route.method, route.path).await { 'x' } else { '.' });
        }
        writeln!(seen, " {} {}", route.method, route.path).unwrap();
    }

    let rows = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let (seen_rows, expected) = (rows(&seen), rows(MATRIX));
    let differences: Vec<_> = seen_rows.symmetric_difference(&expected).collect();
    assert!(differences.is_empty(), "{differences:#?}\n{seen}");
    server.stop().await;
}

#[tokio::test]
async fn a_key_with_one_scope_is_let_in_where_the_table_names_it_and_nowhere_else() {
    let server = TestServer::start().await;
    let registered = server.client.register("acme").await;
    let owner = server.client.with_key(registered["tokens"]["access"].as_str().unwrap());
    let all = server.client.with_key(registered["tenant"]["api_key_test_secret"].as_str().unwrap());
    let listed: Vec<(&str, &str)> = SCOPES.lines().map(|row| row.split_once(' ').unwrap()).collect();

    for area in Area::ALL {
        for (right, implied) in [("read", &["read"][..]), ("write", &["read", "write"])] {
            let scope = format!("{}:{right}", area.as_str());
            let key = json!({ "name": scope, "scopes": [scope] });
            let key = owner.post("/api-keys", key).await.expect(201)["key"].as_str().unwrap().to_owned();
            let client = server.client.with_key(&key);
            let words: Vec<String> =
                implied.iter().map(|right| format!("{}:{right}", area.as_str())).collect();
            for route in routes().iter().filter(|route| matches!(route.access, Access::Granted(_))) {
                let (method, path) = (route.method, route.path);
                if path == "/api/v1/constant" {
                    continue;
                }
                let asked = listed.iter().find(|(_, named)| *named == format!("{method} {path}"));
                let expected =
                    asked.is_some_and(|(word, _)| *word == "any" || words.iter().any(|it| it == word));
                assert_eq!(is_let_in(&client, method, path).await, expected, "{scope}: {method} {path}");
            }
        }
    }
    for (_, route) in listed {
        let (method, path) = route.split_once(' ').unwrap();
        assert!(is_let_in(&all, method, path).await, "a key with all scopes: {route}");
    }
    server.stop().await;
}

#[test]
fn the_matrix_holds_exactly_the_documented_routes() {
    let document: Value = serde_json::from_str(&usance_http::openapi_json()).unwrap();

    let mut documented = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in ["get", "post", "put", "patch", "delete"] {
            if item.get(method).is_some() {
                documented.insert((method.to_uppercase(), path.clone()));
            }
        }
    }
    let listed: BTreeSet<_> = routes()
        .iter()
        .filter(|route| !UNDOCUMENTED.contains(&route.path))
        .map(|route| (route.method.to_owned(), route.path.to_owned()))
        .collect();

    assert_eq!(listed, documented);
    assert_eq!(routes().len(), listed.len() + UNDOCUMENTED.len(), "a route is listed twice");
}

/// Rules of the table as a whole, beside its rows.
#[test]
fn lesser_callers_are_let_in_nowhere_where_greater_ones_are_not() {
    let mut lines = MATRIX.lines();
    assert_eq!(
        lines.next(),
        Some("nobody viewer developer admin owner sk_test sk_live pk_test pk_live usage:write customer")
    );
    for row in lines {
        let cells: Vec<bool> = row.split(' ').next().unwrap().chars().map(|cell| cell == 'x').collect();
        let [nobody, viewer, developer, admin, owner, sk_test, sk_live, pk_test, pk_live, scoped, customer] =
            cells[..]
        else {
            panic!("{row}")
        };
        assert!(viewer <= developer && developer <= admin && admin <= owner, "{row}");
        assert!(scoped <= sk_test && sk_live <= sk_test && pk_live == pk_test && pk_test <= sk_test, "{row}");
        assert!(!nobody || cells.iter().all(|cell| *cell), "{row}");
        assert!(
            !customer || nobody || row.contains(" GET ") || row.ends_with("/auth/customers/logout"),
            "{row}"
        );
        let changes = !row.contains(" GET ") && !row.contains("/preview") && !row.contains("/quotes");
        let (of_oneself, is_signed) = (row.contains("/auth/"), row.contains("/inbound/"));
        assert!(!changes || of_oneself || is_signed || (!viewer && !pk_test), "{row}");
    }
}
