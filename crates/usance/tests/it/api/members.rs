//! The staff: invited, changed, deactivated.

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use usance_testkit::{Client, MovableClock, TestDatabase, TestServer};

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer} in {value}"))
}

fn acceptance(invitation: &Value) -> Value {
    json!({ "token": invitation["token"], "password": "gravel tulip nine bone", "first_name": "Grace", "last_name": "Hopper" })
}

/// Invites somebody and accepts; returns the answer and a client of the new member.
async fn join(server: &TestServer, owner: &Client, email: &str, role: &str) -> (Value, Client) {
    let invitation = json!({ "email": email, "role": role });
    let invitation = owner.post("/members/invitations", invitation).await.expect(201);
    let path = "/auth/tenants/invitations/accept/";
    let joined = server.client.post(path, acceptance(&invitation)).await.expect(201);
    let member = server.client.with_key(text(&joined, "/tokens/access"));
    (joined, member)
}

async fn owner(server: &TestServer) -> (Value, Client) {
    let registered = server.client.register("acme").await;
    let client = server.client.with_key(text(&registered, "/tokens/access"));
    (registered, client)
}

#[tokio::test]
async fn whoever_holds_an_invitation_becomes_a_member_once() {
    // given
    let server = TestServer::start().await;
    let (_, owner) = owner(&server).await;
    let body = json!({ "email": "Grace@example.com", "role": "developer" });

    // when
    let invitation = owner.post("/members/invitations", body.clone()).await.expect(201);
    owner.post("/members/invitations", body.clone()).await.expect_code(409, "invitation_exists");
    let path = "/auth/tenants/invitations/accept";
    let mut weak = acceptance(&invitation);
    weak["password"] = json!("short");
    server.client.post(path, weak).await.expect_code(400, "invalid_field");
    let joined = server.client.post(path, acceptance(&invitation)).await.expect(201);

    // then
    assert_eq!(
        (text(&joined, "/user/role"), text(&joined, "/user/email")),
        ("developer", "grace@example.com")
    );
    server.client.post(path, acceptance(&invitation)).await.expect_code(404, "not_found");
    owner.post("/members/invitations", body).await.expect_code(409, "member_exists");
    let login = json!({ "email": "grace@example.com", "password": "gravel tulip nine bone" });
    server.client.post("/auth/tenants/login/", login).await.expect(200);
    let member = server.client.with_key(text(&joined, "/tokens/access"));
    member.get("/customers").await.expect(200);
    member.get("/members").await.expect_code(403, "forbidden");
    let members = owner.get("/members").await.expect(200);
    let roles: Vec<_> = members["data"].as_array().unwrap().iter().map(|it| text(it, "/role")).collect();
    assert_eq!(roles, ["owner", "developer"]);
    assert!(!members.to_string().contains("argon2"));
    let listed = owner.get("/members/invitations").await.expect(200);
    assert!(listed["data"][0]["accepted_at"].is_string() && listed["data"][0].get("token").is_none());
    server.stop().await;
}

#[tokio::test]
async fn an_invitation_ends_when_it_is_taken_back_and_after_a_week() {
    // given
    let clock = MovableClock::default();
    let server = TestServer::start_by(&clock, TestDatabase::new().await, |_| {}).await;
    let (registered, owner) = owner(&server).await;
    let body = json!({ "email": "grace@example.com", "role": "viewer" });
    let accept = |invitation: &Value| {
        let (client, body) = (server.client.clone(), acceptance(invitation));
        async move { client.post("/auth/tenants/invitations/accept", body).await }
    };

    // when
    let first = owner.post("/members/invitations", body.clone()).await.expect(201);
    let path = format!("/members/invitations/{}", text(&first, "/id"));
    assert_eq!(owner.delete(&path).await.status, 204);
    assert_eq!(owner.delete(&path).await.status, 204);
    let second = owner.post("/members/invitations", body.clone()).await.expect(201);
    clock.advance(SignedDuration::from_hours(7 * 24));

    // then
    accept(&first).await.expect_code(404, "not_found");
    accept(&second).await.expect_code(404, "not_found");
    accept(&json!({ "token": "inv_x_y" })).await.expect_code(404, "not_found");
    let login = json!({ "email": text(&registered, "/user/email"), "password": "correct horse battery" });
    let signed_in = server.client.post("/auth/tenants/login", login).await.expect(200);
    let owner = server.client.with_key(text(&signed_in, "/tokens/access"));
    let third = owner.post("/members/invitations", body).await.expect(201);
    accept(&third).await.expect(201);
    server.stop().await;
}

#[tokio::test]
async fn nobody_gives_or_takes_a_greater_role_than_the_own_and_an_owner_stays() {
    // given
    let server = TestServer::start().await;
    let (registered, owner) = owner(&server).await;
    let (admin, admin_client) = join(&server, &owner, "admin@example.com", "admin").await;
    let (viewer, viewer_client) = join(&server, &owner, "viewer@example.com", "viewer").await;
    let path = |member: &Value| format!("/members/{}", text(member, "/user/id"));

    // when
    let invitation = json!({ "email": "x@example.com", "role": "owner" });
    admin_client.post("/members/invitations", invitation).await.expect_code(403, "forbidden");
    for change in [json!({ "role": "viewer" }), json!({ "is_active": false })] {
        admin_client.patch(&path(&registered), change.clone()).await.expect_code(403, "forbidden");
        owner.patch(&path(&registered), change).await.expect_code(409, "last_owner");
    }
    admin_client.patch(&path(&viewer), json!({ "role": "owner" })).await.expect_code(403, "forbidden");
    admin_client.patch(&path(&viewer), json!({ "role": "king" })).await.expect_code(422, "invalid_field");
    let feature = json!({ "code": "chat" });
    viewer_client.post("/features", feature.clone()).await.expect_code(403, "forbidden");
    admin_client.patch(&path(&viewer), json!({ "role": "developer" })).await.expect(200);

    // then: from the next request on
    viewer_client.post("/features", feature).await.expect(201);
    let gone = admin_client.patch(&path(&viewer), json!({ "is_active": false })).await.expect(200);
    assert_eq!((&gone["role"], &gone["is_active"]), (&json!("developer"), &json!(false)));
    viewer_client.get("/features").await.expect_code(401, "unauthorized");
    let login = json!({ "email": "viewer@example.com", "password": "gravel tulip nine bone" });
    server.client.post("/auth/tenants/login", login).await.expect_code(401, "invalid_credentials");
    // A second owner may take the place of the first.
    owner.patch(&path(&admin), json!({ "role": "owner" })).await.expect(200);
    admin_client.patch(&path(&registered), json!({ "role": "viewer" })).await.expect(200);
    owner.patch(&path(&admin), json!({ "role": "viewer" })).await.expect_code(403, "forbidden");
    let log = admin_client.get("/audit?action=member.changed").await.expect(200);
    assert_eq!(log["data"].as_array().unwrap().len(), 4);
    assert_eq!(log["data"][0]["after"], json!({ "role": "viewer", "is_active": true }));
    server.stop().await;
}

#[tokio::test]
async fn an_invitation_is_worth_what_its_maker_may_still_do() {
    // given
    let server = TestServer::start().await;
    let (_, owner) = owner(&server).await;
    let path = "/auth/tenants/invitations/accept";

    for (address, change) in
        [("a@example.com", json!({ "role": "viewer" })), ("b@example.com", json!({ "is_active": false }))]
    {
        let (admin, client) = join(&server, &owner, address, "admin").await;
        let second = json!({ "email": format!("second-{address}"), "role": "admin" });
        let invitation = client.post("/members/invitations", second).await.expect(201);

        // when
        owner.patch(&format!("/members/{}", text(&admin, "/user/id")), change).await.expect(200);

        // then
        server.client.post(path, acceptance(&invitation)).await.expect_code(404, "not_found");
    }
    server.stop().await;
}

#[tokio::test]
async fn nobody_takes_back_an_invitation_to_a_greater_role() {
    let server = TestServer::start().await;
    let (_, owner) = owner(&server).await;
    let (_, admin) = join(&server, &owner, "admin@example.com", "admin").await;
    let invitation = json!({ "email": "x@example.com", "role": "owner" });
    let invitation = owner.post("/members/invitations", invitation).await.expect(201);

    let refused = admin.delete(&format!("/members/invitations/{}", text(&invitation, "/id"))).await;

    refused.expect_code(403, "forbidden");
    let path = "/auth/tenants/invitations/accept";
    server.client.post(path, acceptance(&invitation)).await.expect(201);
    server.stop().await;
}

#[tokio::test]
async fn a_tenant_that_registers_with_the_address_of_a_member_takes_no_sign_in_from_it() {
    let server = TestServer::start().await;
    let (_, owner) = owner(&server).await;
    let (joined, _) = join(&server, &owner, "grace@example.com", "developer").await;
    let squatter = json!({ "company_name": "Squatter", "email": "grace@example.com", "password": "seven brown bears",
        "first_name": "", "last_name": "", "domain": "squatter.example" });
    server.client.post("/auth/tenants/register", squatter).await.expect(201);

    let login = json!({ "email": "grace@example.com", "password": "gravel tulip nine bone" });
    let signed_in = server.client.post("/auth/tenants/login", login).await.expect(200);

    assert_eq!(signed_in["user"]["id"], joined["user"]["id"]);
    server.stop().await;
}

/// Sends a request whose body arrives only after something else has happened; returns the answer.
async fn send_slowly(
    client: &Client,
    method: &str,
    path: &str,
    body: &str,
    meanwhile: impl Future<Output = ()>,
) -> String {
    let mut stream = TcpStream::connect(client.base().strip_prefix("http://").unwrap()).await.unwrap();
    let head = format!(
        "{method} /api/v1{path} HTTP/1.1\r\nhost: usance\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        client.key(),
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let began = Instant::now();
    // It is let in by its head.
    client.get("/auth/tenants/me").await.expect(200);
    meanwhile.await;
    while began.elapsed() < Duration::from_secs(1) {
        tokio::task::yield_now().await;
    }
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn who_loses_its_rights_while_its_request_arrives_does_nothing_with_them() {
    // given two owners
    let server = TestServer::start().await;
    let (_, first) = owner(&server).await;
    let (joined, second) = join(&server, &first, "grace@example.com", "owner").await;
    let (viewer, _) = join(&server, &first, "mallory@example.com", "viewer").await;
    let path = format!("/members/{}", text(&joined, "/user/id"));
    let change = |body: Value| {
        let (first, path) = (first.clone(), path.clone());
        async move {
            first.patch(&path, body).await.expect(200);
        }
    };

    // when one is demoted while it makes somebody an owner
    let accomplice = format!("/members/{}", text(&viewer, "/user/id"));
    let demoted = change(json!({ "role": "admin" }));
    let answer = send_slowly(&second, "PATCH", &accomplice, r#"{"role":"owner"}"#, demoted).await;

    // then
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");

    // when it is deactivated while it asks for a key
    change(json!({ "role": "owner" })).await;
    let deactivated = change(json!({ "is_active": false }));
    let body = r#"{"name":"Late","scopes":["all"]}"#;
    let answer = send_slowly(&second, "POST", "/api-keys", body, deactivated).await;

    // then
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    let keys = first.get("/api-keys").await.expect(200);
    assert!(!keys.to_string().contains("Late"), "{keys}");
    server.stop().await;
}

#[tokio::test]
async fn the_address_of_a_webhook_is_shown_to_those_who_may_look_at_endpoints() {
    // given
    let server = TestServer::start().await;
    let (_, owner) = owner(&server).await;
    let config = json!({ "webhook_url": "https://hooks.example.com/?secret=hush" });
    owner.post("/auth/tenants/webhooks/config", config).await.expect(200);
    let mut seen = Vec::new();

    // when
    for role in ["viewer", "developer"] {
        let (joined, member) = join(&server, &owner, &format!("{role}@example.com"), role).await;
        let me = member.get("/auth/tenants/me").await.expect(200);
        let details = member.get("/auth/tenants/details").await.expect(200);
        seen.push([joined, me, details].map(|it| it["tenant"]["webhook_url"].is_string()));
    }
    for scope in ["usage:write", "webhooks:read"] {
        let key = json!({ "name": scope, "scopes": [scope] });
        let key = owner.post("/api-keys", key).await.expect(201);
        let key = server.client.with_key(text(&key, "/key"));
        let verified = key.get("/auth/tenants/verify").await.expect(200);
        seen.push([verified["tenant"]["webhook_url"].is_string(); 3]);
    }

    // then
    assert_eq!(seen, [[false; 3], [true; 3], [false; 3], [true; 3]]);
    server.stop().await;
}
