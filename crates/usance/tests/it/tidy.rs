//! What keeps the code proofreadable, as tests.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use usance_app::error::Code;

const LINES_MAX: usize = 500;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn files(dir: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            files(&path, extension, found);
        } else if path.extension().is_some_and(|own| own == extension) {
            found.push(path);
        }
    }
}

fn rust_files() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    files(&root().join("crates"), "rs", &mut found);
    assert!(found.len() > 100);
    found.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn no_file_needs_scrolling_to_understand() {
    for (path, text) in rust_files() {
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines", path.display());
    }
}

#[test]
fn sql_is_in_one_crate() {
    for (path, text) in rust_files() {
        let allowed = ["usance-db", "usance-testkit", "tests", "benches"]
            .iter()
            .any(|part| path.components().any(|own| own.as_os_str() == *part));
        assert!(allowed || !text.contains("sqlx::"), "{}", path.display());
    }
}

#[test]
fn every_error_code_has_a_page_and_every_page_a_code() {
    let pages = root().join("docs/errors");
    for code in Code::ALL {
        let page = pages.join(format!("{}.md", code.as_str()));
        assert!(
            fs::read_to_string(&page).is_ok_and(|text| text.contains(code.as_str())),
            "{}",
            page.display()
        );
    }
    let count = fs::read_dir(pages)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name() != "README.md")
        .count();
    assert_eq!(count, Code::ALL.len());
}

#[test]
fn crates_depend_on_each_other_in_one_direction_only() {
    let chain = ["usance-core", "usance-db", "usance-app", "usance-http", "usance"];
    for (level, name) in chain.iter().enumerate() {
        let manifest = fs::read_to_string(root().join("crates").join(name).join("Cargo.toml")).unwrap();
        let product = manifest.split("[dev-dependencies]").next().unwrap();
        for above in &chain[level + 1..] {
            assert!(!product.contains(&format!("{above}.workspace")), "{name} depends on {above}");
        }
        assert!(!product.contains("usance-testkit"), "{name} depends on the testkit");
    }
}

#[test]
fn the_core_has_no_io_no_async_and_no_clock_of_its_own() {
    let tree = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "-p",
            "usance-core",
            "-e",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    let tree = String::from_utf8(tree.stdout).unwrap();
    assert!(tree.contains("rust_decimal"), "{tree}");
    for banned in ["tokio ", "sqlx", "reqwest", "axum", "async-", "futures", "rand ", "hyper"] {
        assert!(!tree.lines().any(|line| line.starts_with(banned)), "usance-core depends on {banned}");
    }
    for (path, text) in rust_files()
        .iter()
        .filter(|(path, _)| path.components().any(|part| part.as_os_str() == "usance-core"))
    {
        let product = text.split("#[cfg(test)]").next().unwrap();
        for banned in [
            "std::fs",
            "std::net",
            "std::env",
            "std::time",
            "async fn",
            "Timestamp::now",
            "Zoned::now",
            "println!",
        ] {
            assert!(
                path.ends_with("tests.rs") || path.ends_with("programmes.rs") || !product.contains(banned),
                "{} uses {banned}",
                path.display()
            );
        }
    }
}
