//! Connecting by OAuth.

use serde_json::{Value, json};
use usance_app::stripe::ConnectStyle;
use usance_testkit::{StripePeer, StripeVice, TestServer};

use super::{CALLBACK, CONNECT, REDIRECT_URI, Scene, join, parameter, speaks_with, tenant, text};

#[tokio::test]
async fn an_owner_connects_an_account_by_way_of_stripe() {
    for (style, page) in
        [(ConnectStyle::Express, "/express/oauth/authorize?"), (ConnectStyle::Standard, "/oauth/authorize?")]
    {
        // given
        let scene = Scene::with(style).await;

        // when
        let begun = scene.begin(&scene.owner).await;
        let back = scene.browse(&begun).await;
        let connected = scene.server.client.get(&back).await.expect(200);

        // then
        let (url, state) = (text(&begun, "/url"), text(&begun, "/state"));
        assert!(url.starts_with(&format!("{}{page}", scene.peer.base())), "{url}");
        for (name, value) in [
            ("client_id", StripePeer::CLIENT_ID),
            ("state", state),
            ("redirect_uri", REDIRECT_URI),
            ("response_type", "code"),
            ("scope", "read_write"),
        ] {
            assert_eq!(parameter(url, name).as_deref(), Some(value), "{name}");
        }
        assert_eq!(begun["redirect_uri"], REDIRECT_URI);
        assert_eq!(parameter(&back, "state").as_deref(), Some(state));
        assert_eq!(connected["message"], "Stripe account connected successfully");
        assert_eq!(connected["account_id"], "acct_1");
        let tenant = &connected["tenant"];
        assert_eq!(tenant["id"], scene.registered["tenant"]["id"]);
        assert_eq!(
            (&tenant["stripe_connect_account_id"], &tenant["stripe_connect_status"]),
            (&json!("acct_1"), &json!("connected"))
        );
        assert_eq!((&tenant["is_test_mode"], tenant["api_keys"]["public"].is_string()), (&json!(true), true));
        assert_eq!(scene.stored(&scene.owner).await, ("connected".to_owned(), json!("acct_1")));
        let told = json!({ "id": tenant["id"], "stripe_connect_account_id": "acct_1", "stripe_connect_status": "connected" });
        assert_eq!(scene.told().await, vec![told.clone(), told]);
        let entries = scene.audited().await;
        let actions: Vec<_> = entries.iter().map(|entry| text(entry, "/action")).collect();
        assert_eq!(actions, ["stripe.connect_started", "stripe.connected"]);
        assert_eq!(entries[0]["after"], json!({ "style": style.as_str(), "account_id": null }));
        assert_eq!(entries[1]["after"], json!({ "account_id": "acct_1", "status": "connected" }));
        let owner = json!({ "type": "member", "id": scene.registered["user"]["id"] });
        assert!(entries.iter().all(|entry| entry["actor"] == owner && entry["mode"] == Value::Null));
        scene.server.stop().await;
    }
}

#[tokio::test]
async fn stripe_is_asked_in_its_own_way() {
    let scene = Scene::new().await;

    scene.connect(&scene.owner).await.expect(200);

    let calls = scene.peer.calls();
    assert_eq!(calls.len(), 1);
    let (call, header) = (&calls[0], |name: &str| calls[0].headers[name].to_str().unwrap().to_owned());
    assert_eq!(call.route, "POST /oauth/token");
    assert_eq!(header("authorization"), format!("Bearer {}", StripePeer::SECRET_KEY));
    assert_eq!(header("stripe-version"), "2026-08-26.dahlia");
    assert_eq!(header("content-type"), "application/x-www-form-urlencoded");
    assert_eq!(call.fields["grant_type"], "authorization_code");
    assert!(call.fields["code"].starts_with("ac_") && call.fields.len() == 2);
    scene.server.stop().await;
}

#[tokio::test]
async fn the_answer_is_that_of_the_mode_in_which_the_owner_began() {
    let scene = Scene::new().await;
    let request = scene.owner.request(reqwest::Method::POST, CONNECT).header("usance-mode", "live");
    let begun = scene.owner.send(request).await.expect(200);

    let connected = scene.server.client.get(&scene.browse(&begun).await).await.expect(200);

    assert_eq!(connected["tenant"]["is_test_mode"], false);
    assert_eq!(connected["tenant"]["api_keys"]["public"], scene.registered["tenant"]["api_key_public"]);
    scene.server.stop().await;
}

#[tokio::test]
async fn an_owner_who_refuses_at_stripe_has_no_account() {
    // given
    let scene = Scene::new().await;
    scene.peer.refuse();

    // when
    let begun = scene.begin(&scene.owner).await;
    let back = scene.browse(&begun).await;
    let refused = scene.server.client.get(&back).await.expect_code(400, "stripe_connect_denied");

    // then
    assert_eq!(
        (&refused["error"], &refused["description"]),
        (&json!("access_denied"), &json!("The user denied your request"))
    );
    let entries = scene.audited().await;
    assert_eq!(
        (text(&entries[1], "/action"), text(&entries[1], "/reason")),
        ("stripe.connect_denied", "access_denied")
    );
    assert_eq!(scene.stored(&scene.owner).await, ("pending".to_owned(), Value::Null));
    assert!(scene.asked().is_empty());
    // The state is used up.
    let state = text(&begun, "/state");
    let path = format!("{CALLBACK}?code=ac_1&state={state}");
    scene.server.client.get(&path).await.expect_code(403, "stripe_state_invalid");
    // Words without a state change nothing, and only what looks like Stripe's is repeated.
    let path = format!("{CALLBACK}?error=%3Cscript%3E&error_description=a%00b");
    let refused = scene.server.client.get(&path).await.expect_code(400, "stripe_connect_denied");
    assert_eq!((&refused["error"], &refused["description"]), (&json!("unknown_error"), &json!("ab")));
    assert_eq!(scene.audited().await.len(), 2);
    scene.server.stop().await;
}

#[tokio::test]
async fn a_tenant_has_one_account() {
    // given two ways that have begun
    let scene = Scene::new().await;
    let second = scene.begin(&scene.owner).await;
    scene.connect(&scene.owner).await.expect(200);

    // when
    let again = scene.owner.post(CONNECT, json!({})).await.expect_code(400, "stripe_already_connected");
    scene.peer.consent("acct_2");
    let back = scene.browse(&second).await;
    let late = scene.server.client.get(&back).await.expect_code(400, "stripe_already_connected");

    // then
    for refused in [again, late] {
        assert_eq!(
            (&refused["error"], &refused["account_id"]),
            (&json!("Stripe account already connected"), &json!("acct_1"))
        );
    }
    assert_eq!(scene.stored(&scene.owner).await, ("connected".to_owned(), json!("acct_1")));
    scene.server.stop().await;
}

#[tokio::test]
async fn an_account_has_one_tenant() {
    // given
    let scene = Scene::new().await;
    scene.connect(&scene.owner).await.expect(200);
    let (_, second) = tenant(&scene.server, "second").await;

    // when
    let refused = scene.connect(&second).await.expect_code(409, "stripe_account_in_use");

    // then the first tenant keeps its account, also at Stripe
    assert_eq!(refused["account_id"], "acct_1");
    assert_eq!(scene.stored(&scene.owner).await, ("connected".to_owned(), json!("acct_1")));
    assert_eq!(scene.stored(&second).await, ("pending".to_owned(), Value::Null));
    assert!(scene.peer.account("acct_1").is_connected);
    assert!(!scene.asked().contains(&"POST /oauth/deauthorize".to_owned()));
    scene.peer.consent("acct_2");
    scene.connect(&second).await.expect(200);
    scene.server.stop().await;
}

#[tokio::test]
async fn what_stripe_does_not_do_is_told_and_changes_nothing() {
    let scene = Scene::new().await;
    for (vice, words) in [
        (StripeVice::Fault, "Stripe failed (500)"),
        (StripeVice::Garbage, "Stripe answered something that cannot be read (200)"),
        (StripeVice::Endless, "Stripe answered something that cannot be read (200)"),
        (StripeVice::Redirect, "Stripe answered something that cannot be read (302)"),
        (StripeVice::Gossip, "Stripe does not accept the platform's credentials (401)"),
    ] {
        // when
        scene.peer.misbehave(Some(vice));
        let refused = scene.connect(&scene.owner).await.expect_code(500, "stripe_error");

        // then
        assert_eq!((&refused["error"], &refused["details"]), (&json!("Stripe API error"), &json!(words)));
        assert_eq!(scene.stored(&scene.owner).await, ("pending".to_owned(), Value::Null));
    }
    scene.peer.misbehave(None);
    let begun = scene.begin(&scene.owner).await;
    let path = format!("{CALLBACK}?code=ac_made_up&state={}", text(&begun, "/state"));
    let refused = scene.server.client.get(&path).await.expect_code(500, "stripe_error");
    let words =
        "Stripe refused the request (400 invalid_grant): Authorization code does not exist: ac_made_up";
    assert_eq!(refused["details"], words);
    scene.connect(&scene.owner).await.expect(200);
    scene.server.stop().await;
}

#[tokio::test]
async fn a_stripe_that_cannot_be_reached_is_told_as_such() {
    let scene = Scene::new().await;
    let back = scene.browse(&scene.begin(&scene.owner).await).await;
    let Scene { peer, server, .. } = scene;
    drop(peer);

    let refused = server.client.get(&back).await.expect_code(500, "stripe_error");

    assert_eq!(refused["details"], "Stripe could not be reached");
    server.stop().await;
}

#[tokio::test]
async fn only_owners_connect_and_disconnect_and_only_admins_look() {
    let scene = Scene::new().await;
    for (role, status) in [("viewer", 403), ("developer", 403), ("admin", 200)] {
        let email = format!("{role}@example.com");
        let (_, member) = join(&scene.server, &scene.owner, &email, role).await;

        member.post(CONNECT, json!({})).await.expect_code(403, "forbidden");
        member.post(super::DISCONNECT, json!({})).await.expect_code(403, "forbidden");
        member.delete(super::DISCONNECT).await.expect_code(403, "forbidden");
        assert_eq!(member.get(super::STATUS).await.status, status, "{role}");
    }
    scene.server.stop().await;
}

#[tokio::test]
async fn a_server_that_is_not_configured_says_what_is_missing() {
    let peer = StripePeer::start().await;
    for setting in ["STRIPE_SECRET_KEY", "STRIPE_CONNECT_CLIENT_ID", "USANCE_PUBLIC_URL"] {
        // given
        let configure = speaks_with(&peer, ConnectStyle::Express);
        let server = TestServer::start_with(|settings| {
            configure(settings);
            match setting {
                "STRIPE_SECRET_KEY" => settings.stripe.secret_key = None,
                "STRIPE_CONNECT_CLIENT_ID" => settings.stripe.connect_client_id = None,
                _ => settings.public_url = None,
            }
        })
        .await;
        let (_, owner) = tenant(&server, "acme").await;

        // when
        let reply = owner.post(CONNECT, json!({})).await;

        // then: no retry mends it
        assert_eq!(reply.header("retry-after"), None);
        let refused = reply.expect_code(503, "stripe_not_configured");
        assert_eq!(refused["setting"], setting);
        assert!(text(&refused, "/detail").contains(setting), "{refused}");
        if setting == "STRIPE_SECRET_KEY" {
            let path = format!("{CALLBACK}?code=ac_1&state=x");
            server.client.get(&path).await.expect_code(503, "stripe_not_configured");
        }
        assert_eq!(owner.get(super::STATUS).await.expect(200)["status"], "not_connected");
        owner.delete(super::DISCONNECT).await.expect_code(400, "stripe_not_connected");
        server.stop().await;
    }
}
