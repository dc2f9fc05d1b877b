//! Invoices as customers get them: the hosted page, the PDF, and sending.

use serde_json::{Value, json};
use usance_testkit::{Client, Reply, TestServer};

const NAME: &str = "Ada <script>alert(1)</script>";

async fn tenant(server: &TestServer, name: &str) -> Client {
    let client = server.client.tenant(name).await;
    client.put("/test-clock", json!({ "now": "2024-01-31T23:30:00Z" })).await.expect(200);
    let profile = json!({ "legal_name": format!("{name} Ltd"), "address": { "line1": "1 Byte Street", "city": "Bern", "country": "CH" },
        "tax_ids": [{ "type": "ch_vat", "value": "CHE-1" }], "invoice_footer": "Registered in Bern" });
    client.patch("/tenant", profile).await.expect(200);
    let customer = json!({ "external_id": "ada", "name": NAME, "email": "ada@example.com", "currency": "USD", "timezone": "Europe/Berlin",
        "address": { "line1": "2 Loop Lane", "city": "Hamburg" }, "tax": { "rates": [{ "name": "VAT", "percent": "19" }] } });
    client.post("/customers", customer).await.expect(201);
    client
}

/// Makes an invoice of 100.00 and 19.00 of tax.
async fn invoice(client: &Client, finalize: bool) -> Value {
    let lines = json!([{ "description": "Onboarding", "quantity": "4", "unit": "25" }]);
    let body = json!({ "customer": "ada", "lines": lines, "memo": "Thank you", "finalize": finalize });
    client.post("/invoices", body).await.expect(201)
}

/// Reads what stands under an address of the invoice without a credential.
async fn open(server: &TestServer, invoice: &Value, suffix: &str) -> Reply {
    let path = invoice["hosted_url"].as_str().unwrap();
    server.client.get(&format!("/{path}{suffix}")).await
}

fn id(invoice: &Value) -> &str {
    invoice["id"].as_str().unwrap()
}

#[tokio::test]
async fn the_hosted_page_shows_the_invoice_and_runs_nothing() {
    let server = TestServer::start().await;
    let client = tenant(&server, "acme").await;
    let issued = invoice(&client, true).await;

    let page = open(&server, &issued, "").await;

    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    for shown in [
        "Invoice INV-000001",
        "USD 119.00",
        "acme Ltd",
        "CH VAT CHE-1",
        "2 Loop Lane",
        "Onboarding",
        "data-label=\"Unit price\">25.00<",
        "<dt>VAT 19 %</dt><dd>19.00</dd>",
        // It is February already where the customer is.
        "<dt>Issued</dt><dd>1 Feb 2024</dd>",
        "Thank you",
        "Registered in Bern",
        "Ada &#60;script&#62;alert(1)",
    ] {
        assert!(page.text.contains(shown), "{shown} is not in {}", page.text);
    }
    assert!(!page.text.contains("<script") && !page.text.contains("Pay now"));
    for (header, value) in [
        ("referrer-policy", "no-referrer"),
        ("cache-control", "private, no-store"),
        ("x-robots-tag", "noindex"),
    ] {
        assert_eq!(page.header(header), Some(value));
    }
    assert!(
        page.header("content-security-policy").unwrap().starts_with("default-src 'none'; style-src 'sha256-")
    );
    server.stop().await;
}

#[tokio::test]
async fn a_forged_address_is_answered_like_one_that_never_existed() {
    let server = TestServer::start().await;
    let (one, two) = (tenant(&server, "one").await, tenant(&server, "two").await);
    let (of_one, of_two) = (invoice(&one, true).await, invoice(&two, true).await);
    let token = of_one["hosted_url"].as_str().unwrap().strip_prefix("/invoices/").unwrap();
    let other = of_two["hosted_url"].as_str().unwrap().strip_prefix("/invoices/").unwrap();

    let unknown = server.client.get("//invoices/nothing").await;

    assert_eq!((unknown.status, unknown.header("content-type")), (404, Some("text/html; charset=utf-8")));
    let mixed = format!("{}{}", &token[..token.len() / 2], &other[other.len() / 2..]);
    let changed = format!("{}{}", if token.starts_with('B') { "C" } else { "B" }, &token[1..]);
    for forged in [mixed.as_str(), &changed, &token[..token.len() - 1], id(&of_one), "a%20b"] {
        for suffix in ["", "/pdf"] {
            let reply = server.client.get(&format!("//invoices/{forged}{suffix}")).await;
            assert_eq!((reply.status, &reply.text), (404, &unknown.text), "{forged}{suffix}");
        }
    }
    assert!(open(&server, &of_one, "").await.text.contains("one Ltd"));
    assert!(open(&server, &of_two, "").await.text.contains("two Ltd"));
    server.stop().await;
}

#[tokio::test]
async fn a_draft_has_no_address_and_a_void_invoice_says_that_nothing_is_due() {
    let server = TestServer::start().await;
    let client = tenant(&server, "acme").await;
    let draft = invoice(&client, false).await;
    let issued = invoice(&client, true).await;

    let void = client.post(&format!("/invoices/{}/void", id(&issued)), json!({})).await.expect(200);

    assert_eq!((&draft["hosted_url"], &draft["pdf_url"]), (&Value::Null, &Value::Null));
    assert_eq!(void["hosted_url"], issued["hosted_url"]);
    let page = open(&server, &void, "").await;
    assert!(page.status == 200 && page.text.contains("This document was withdrawn."), "{}", page.text);
    server.stop().await;
}

#[tokio::test]
async fn coupons_and_taxes_within_the_prices_add_up_on_the_page() {
    let server = TestServer::start().await;
    let client = tenant(&server, "acme").await;
    let rate = json!({ "code": "de", "name": "USt", "percent": "19", "inclusive": true, "region": "de" });
    client.post("/tax-rates", rate).await.expect(201);
    client.patch("/customers/ada", json!({ "tax": { "region": "DE" } })).await.expect(200);
    let prices = json!([{ "code": "base", "charge_model": "flat", "amount": "119", "pay": "advance" }]);
    client
        .post(
            "/plans",
            json!({ "code": "p", "name": "P", "currency": "USD", "interval": "month", "prices": prices }),
        )
        .await
        .expect(201);
    client.post("/coupons", json!({ "code": "half", "percent": "50", "duration": "once" })).await.expect(201);

    let subscription = json!({ "customer": "ada", "plan": "p", "coupon": "half" });
    client.post("/subscriptions", subscription).await.expect(201);

    let issued = client.get("/invoices").await.expect(200)["data"][0].clone();
    let page = open(&server, &issued, "").await;
    let figures = ["discount", "tax", "total"].map(|field| issued[field]["amount_minor"].as_i64().unwrap());
    let text = |minor: i64| format!("{}.{:02}", minor / 100, minor % 100);
    for shown in [
        format!("data-label=\"Discount\">-{}<", text(figures[0])),
        format!("<dt>Including USt 19 %</dt><dd>{}</dd>", text(figures[1])),
        format!("<dt>Total</dt><dd>USD {}</dd>", text(figures[2])),
    ] {
        assert!(page.text.contains(&shown), "{shown} is not in {}", page.text);
    }
    server.stop().await;
}

#[tokio::test]
async fn links_are_absolute_where_the_public_address_is_known() {
    let address = "https://billing.example.com";
    let server = TestServer::start_with(|settings| settings.public_url = Some(address.to_owned())).await;
    let client = tenant(&server, "acme").await;

    let issued = invoice(&client, true).await;

    let path = issued["hosted_url"].as_str().unwrap().strip_prefix(address).unwrap();
    assert_eq!(server.client.get(&format!("/{path}")).await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_sent_invoice_is_marked_and_announced_without_the_address_of_the_customer() {
    let server = TestServer::start().await;
    let client = tenant(&server, "acme").await;
    let (draft, issued) = (invoice(&client, false).await, invoice(&client, true).await);
    let send = |invoice: &Value| format!("/invoices/{}/send", id(invoice));

    let sent = client.post(&send(&issued), json!({})).await.expect(200);

    assert_eq!((&issued["sent_at"], &sent["sent_at"]), (&Value::Null, &json!("2024-01-31T23:30:00Z")));
    let events = "SELECT string_agg(data::text, ',') FROM outbox_events WHERE type = 'invoice.sent'";
    let events = server.database.text_as_superuser(events).await;
    assert!(events.contains(id(&issued)) && !events.contains('@'), "{events}");
    client.post(&send(&draft), json!({})).await.expect_code(409, "invoice_not_sendable");
    client.post(&format!("/invoices/{}/void", id(&issued)), json!({})).await.expect(200);
    client.post(&send(&issued), json!({})).await.expect_code(409, "invoice_not_sendable");
    server.stop().await;
}

#[tokio::test]
async fn an_invoice_without_an_email_address_is_not_sent() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    let customer = json!({ "external_id": "ada", "name": "Ada", "currency": "USD" });
    client.post("/customers", customer).await.expect(201);
    let issued = invoice(&client, true).await;

    client.post(&format!("/invoices/{}/send", id(&issued)), json!({})).await.expect_code(409, "no_email");

    let after = client.get(&format!("/invoices/{}", id(&issued))).await.expect(200);
    assert_eq!(after["sent_at"], Value::Null);
    server.stop().await;
}

#[tokio::test]
async fn erasing_a_customer_erases_the_person_from_issued_invoices_and_drafts() {
    let server = TestServer::start().await;
    let client = tenant(&server, "acme").await;
    let (issued, _) = (invoice(&client, true).await, invoice(&client, false).await);
    let before = open(&server, &issued, "").await;

    assert_eq!(client.delete("/customers/ada").await.status, 204);

    assert!(before.text.contains("Loop Lane"));
    let page = open(&server, &issued, "").await;
    assert!(page.text.contains("Erased customer") && page.text.contains("USD 119.00"), "{}", page.text);
    assert!(page.text.contains("1 Byte Street") && page.text.contains("1 Feb 2024"), "{}", page.text);
    let stored = "SELECT string_agg(to_jsonb(i)::text, '') FROM invoices i";
    let stored = server.database.text_as_superuser(stored).await;
    for personal in ["Ada", "ada@example.com", "Loop Lane", "Hamburg"] {
        assert!(!page.text.contains(personal) && !stored.contains(personal), "{personal}");
    }
    server.stop().await;
}

#[cfg(not(feature = "pdf"))]
#[tokio::test]
async fn a_server_without_pdf_says_so() {
    let server = TestServer::start().await;
    let client = tenant(&server, "acme").await;
    let issued = invoice(&client, true).await;

    client.get(&format!("/invoices/{}.pdf", id(&issued))).await.expect_code(503, "pdf_not_built");

    assert_eq!(issued["pdf_url"], Value::Null);
    assert_eq!(open(&server, &issued, "/pdf").await.status, 503);
    assert!(!open(&server, &issued, "").await.text.contains("Download PDF"));
    server.stop().await;
}

#[cfg(feature = "pdf")]
mod pdf {
    use reqwest::Method;

    use super::*;

    async fn file(client: &Client, path: &str) -> (Option<String>, String) {
        let response = client.request(Method::GET, path).send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (200, &"application/pdf".parse().unwrap())
        );
        let name = response.headers()["content-disposition"].to_str().unwrap().to_owned();
        let bytes = response.bytes().await.unwrap();
        assert!(bytes.starts_with(b"%PDF"));
        let text = pdf_extract::extract_text_from_mem(&bytes).unwrap().replace('\u{200b}', "");
        (Some(name), text.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    #[tokio::test]
    async fn the_pdf_has_the_number_and_the_total_of_the_invoice() {
        let server = TestServer::start().await;
        let client = tenant(&server, "acme").await;
        let issued = invoice(&client, true).await;

        let (name, text) = file(&client, &format!("/invoices/{}.pdf", id(&issued))).await;

        assert_eq!(name.as_deref(), Some("inline; filename=\"INV-000001.pdf\""));
        for shown in ["INV-000001", "Total USD 119.00", "acme Ltd", "1 Feb 2024", "Onboarding"] {
            assert!(text.contains(shown), "{shown} is not in {text}");
        }
        let public = file(&server.client, &format!("/{}", issued["pdf_url"].as_str().unwrap())).await;
        assert_eq!(public.1, text);
        assert!(open(&server, &issued, "").await.text.contains("Download PDF"));
        server.stop().await;
    }

    #[tokio::test]
    async fn a_client_that_has_the_pdf_is_told_so() {
        let server = TestServer::start().await;
        let client = tenant(&server, "acme").await;
        let path = format!("/invoices/{}.pdf", id(&invoice(&client, true).await));
        let tag = client.get(&path).await.header("etag").unwrap().to_owned();

        let again = client.send(client.request(Method::GET, &path).header("if-none-match", &tag)).await;
        let other = client.send(client.request(Method::GET, &path).header("if-none-match", "\"x\"")).await;

        assert_eq!((again.status, again.text.as_str(), other.status), (304, "", 200));
        server.stop().await;
    }

    #[tokio::test]
    async fn drafts_and_void_invoices_have_a_pdf_that_says_what_they_are() {
        let server = TestServer::start().await;
        let client = tenant(&server, "acme").await;
        let (draft, issued) = (invoice(&client, false).await, invoice(&client, true).await);
        client.post(&format!("/invoices/{}/void", id(&issued)), json!({})).await.expect(200);

        for (invoice, word) in [(&draft, "DRAFT"), (&issued, "VOID")] {
            let (_, text) = file(&client, &format!("/invoices/{}.pdf", id(invoice))).await;
            assert!(text.contains(word), "{word} is not in {text}");
        }
        server.stop().await;
    }
}
