//! Settings that cannot be used: the error names the place, and no secret.

use std::fs;

use usance_testkit::{SECRET_KEY, TempDir, TestDatabase};

use crate::program::{finish, usance};

const PASSWORD: &str = "hunter2hunter2";

/// A misconfiguration, and what the error must name.
struct Case<'a> {
    variables: &'a [(&'a str, &'a str)],
    file: &'a str,
    named: &'a [&'a str],
}

async fn check(case: &Case<'_>) {
    let dir = TempDir::new("usance-settings").unwrap();
    fs::write(dir.path().join("usance.toml"), case.file).unwrap();
    fs::write(dir.path().join("secret.txt"), SECRET_KEY).unwrap();
    let mut command = usance(dir.path(), &["serve", "--config", "usance.toml"]);
    if !case.variables.iter().any(|(name, _)| *name == "USANCE_LISTEN") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    command.envs(case.variables.iter().copied());

    let refused = finish(command).await.expect(1);

    for named in case.named {
        assert!(refused.stderr.contains(named), "{named}: {}", refused.stderr);
    }
    for secret in [PASSWORD, SECRET_KEY, "not 32 bytes"] {
        assert!(!refused.stderr.contains(secret), "{}", refused.stderr);
    }
    assert_eq!(refused.stdout, "");
    assert!(!dir.path().join("usance-data").exists(), "nothing was started");
}

#[tokio::test]
async fn a_setting_that_cannot_be_used_is_named_before_anything_starts() {
    let url = format!("mysql://usance:{PASSWORD}@127.0.0.1/usance");
    let mail_server = format!("smtp://ada:{PASSWORD}@mail.example.com");
    let cases = [
        Case {
            variables: &[("USANCE_SMTP_URL", &mail_server)],
            file: "",
            named: &["USANCE_SMTP_URL needs USANCE_MAIL_FROM beside it"],
        },
        Case {
            variables: &[("USANCE_SMTP_URL", &format!("{mail_server}?tls=none"))],
            file: "mail_from = \"ada@example.com\"\n",
            named: &["USANCE_SMTP_URL must be an address", "smtps://"],
        },
        Case {
            variables: &[("USANCE_LISTEN", "nowhere")],
            file: "",
            named: &["USANCE_LISTEN must be an IP address"],
        },
        Case {
            variables: &[("USANCE_ROLE", "boss")],
            file: "",
            named: &["USANCE_ROLE must be api, worker or all"],
        },
        Case {
            variables: &[("DATABASE_URL", &url)],
            file: "",
            named: &["DATABASE_URL must be", "postgres://"],
        },
        Case {
            variables: &[("USANCE_SECRET_KEY", "not 32 bytes")],
            file: "",
            named: &["USANCE_SECRET_KEY must be 32 bytes in base64"],
        },
        Case { variables: &[("USANCE_LOG", "info,=loud")], file: "", named: &["USANCE_LOG"] },
        Case {
            variables: &[],
            file: "listne = \"127.0.0.1:0\"\n",
            named: &["listne in usance.toml is no setting", "listen"],
        },
        Case {
            variables: &[],
            file: "ingest_writers = 0\n",
            named: &["ingest_writers in usance.toml must be a whole number from 1 to 64"],
        },
        Case {
            variables: &[],
            file: "secret_key = \"not 32 bytes\nlisten = 1\n",
            named: &["usance.toml is not TOML"],
        },
    ];
    for case in cases {
        check(&case).await;
    }
}

#[tokio::test]
async fn a_secret_that_is_given_twice_is_refused() {
    check(&Case {
        variables: &[("USANCE_SECRET_KEY", SECRET_KEY), ("USANCE_SECRET_KEY_FILE", "secret.txt")],
        file: "",
        named: &["USANCE_SECRET_KEY and USANCE_SECRET_KEY_FILE are both set"],
    })
    .await;
    check(&Case {
        variables: &[("DATABASE_URL_FILE", "absent.txt")],
        file: "",
        named: &["DATABASE_URL_FILE names absent.txt, which cannot be read"],
    })
    .await;
}

#[tokio::test]
async fn a_database_of_ones_own_needs_the_secret_key() {
    let database = TestDatabase::new().await;

    check(&Case {
        variables: &[("DATABASE_URL", database.url())],
        file: "",
        named: &["USANCE_SECRET_KEY", "USANCE_SECRET_KEY_FILE", "openssl rand -base64 32"],
    })
    .await;
}
