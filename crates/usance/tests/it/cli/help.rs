//! What the program says about itself.

use clap::{Command, CommandFactory as _};
use usance_testkit::TempDir;

use crate::program::{finish, usance};

/// The words that lead to each command, the program itself first.
fn commands() -> Vec<(Vec<String>, Command)> {
    let mut found = vec![(Vec::new(), usance::cli::Cli::command())];
    let mut next = 0;
    while let Some((words, command)) = found.get(next) {
        let below: Vec<_> = command
            .get_subcommands()
            .map(|sub| ([words.as_slice(), &[sub.get_name().to_owned()]].concat(), sub.clone()))
            .collect();
        found.extend(below);
        next += 1;
    }
    found
}

#[tokio::test]
async fn the_help_of_every_command_describes_every_option() {
    let dir = TempDir::new("usance-help").unwrap();
    let commands = commands();
    assert!(commands.len() >= 9, "{}", commands.len());
    for (words, command) in commands {
        let words: Vec<_> = words.iter().map(String::as_str).chain(["--help"]).collect();

        let help = finish(usance(dir.path(), &words)).await.expect(0);

        assert!(help.stdout.contains("Usage: usance"), "{words:?}: {}", help.stdout);
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        assert!(!about.is_empty() && help.stdout.contains(about.trim_end_matches('.')), "{words:?}: {about}");
        for option in command.get_arguments() {
            let name =
                option.get_long().map_or_else(|| option.get_id().to_string(), |long| format!("--{long}"));
            let described = option.get_help().is_some_and(|help| !help.to_string().is_empty());
            assert!(described, "{words:?} does not describe {name}");
            assert!(help.stdout.to_lowercase().contains(&name), "{words:?} does not list {name}");
        }
    }
}

#[tokio::test]
async fn without_a_command_the_program_shows_its_commands() {
    let dir = TempDir::new("usance-help").unwrap();

    let help = finish(usance(dir.path(), &[])).await.expect(2);

    for command in ["serve", "demo", "import", "migrate", "check", "tenants", "settings", "openapi"] {
        assert!(help.stderr.contains(&format!("\n  {command} ")), "{command}: {}", help.stderr);
    }
}

#[tokio::test]
async fn an_unknown_command_and_an_unknown_option_are_named() {
    let dir = TempDir::new("usance-help").unwrap();
    for arguments in [["sevre", "--help"], ["serve", "--lissten"]] {
        let refused = finish(usance(dir.path(), &arguments)).await.expect(2);

        assert!(
            arguments.iter().any(|word| refused.stderr.contains(&format!("'{word}'"))),
            "{}",
            refused.stderr
        );
    }
}

#[tokio::test]
async fn the_program_prints_the_committed_description_of_the_api() {
    let dir = TempDir::new("usance-help").unwrap();

    let printed = finish(usance(dir.path(), &["openapi"])).await.expect(0);

    let committed = include_str!("../../../../../openapi.json");
    assert!(printed.stdout == committed, "openapi.json is out of date: run make openapi");
    assert_eq!(printed.stderr, "");
}

#[tokio::test]
async fn the_printed_settings_are_a_file_to_start_from() {
    let dir = TempDir::new("usance-help").unwrap();
    let printed = finish(usance(dir.path(), &["settings"])).await.expect(0);
    std::fs::write(dir.path().join("usance.toml"), &printed.stdout).unwrap();

    // The port of the file cannot be bound by a flag that is no address, so that nothing is started.
    let arguments = ["serve", "--config", "usance.toml", "--listen", "nowhere"];
    let refused = finish(usance(dir.path(), &arguments)).await.expect(1);

    assert!(refused.stderr.contains("--listen must be an IP address and a port"), "{}", refused.stderr);
}
