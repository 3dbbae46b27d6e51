//! Completion, through the shells themselves where they are installed (bash always is) or by what they would ask.

use crate::harness::{Host, attachment, finish, pool, restblk, volume};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Longer than a person takes for none, on a slow machine in a debug build.
const SOON: Duration = Duration::from_secs(2);

/// What the engine offers for the last of these words.
fn offered(socket: &Path, words: &str) -> Vec<String> {
    let words: Vec<&str> = words.split(' ').collect();
    let mut command = restblk("");
    command.arg("--").args(&words);
    command.env("RESTBLK_COMPLETE", "bash").env("_CLAP_IFS", "\n");
    command.env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string());
    command.env("RESTBLK_SOCKET", socket);
    let begun = Instant::now();
    let run = finish(command);
    assert!(begun.elapsed() < SOON, "{words:?} took {:?}", begun.elapsed());
    assert_eq!((run.code, run.err.as_str()), (0, ""), "{words:?}");
    run.out.lines().map(ToOwned::to_owned).collect()
}

fn host() -> Host {
    Host::new(|asked| {
        let mut held = volume("main/b", 1 << 30);
        held["attached_by"] =
            json!({"this_host": true, "host_id": "h", "hostname": "n", "since": "2026-11-23T08:00:00Z"});
        let volumes = json!([volume("main/a", 10 << 30), held, volume("spare/c", 512)]);
        let main: Vec<Value> = volumes.as_array().unwrap()[..2].to_vec();
        match asked.line().as_str() {
            "GET /v1/pools" => (200, json!([pool("main"), pool("spare")])),
            "GET /v1/volumes" => (200, volumes),
            "GET /v1/volumes?pool=main" => (200, json!(main)),
            "GET /v1/attachments" => (200, json!([attachment("main/b")])),
            other => (404, json!({"kind": "not_found", "message": other})),
        }
    })
}

#[test]
fn names_are_offered_where_they_fit() {
    let host = host();
    let offered = |words: &str| offered(host.server.socket(), words);
    for (words, names) in [
        ("restblk attach ", &["main/a", "spare/c"][..]),
        ("restblk attach ma", &["main/a"]),
        ("restblk show main/", &["main/a", "main/b"]),
        ("restblk volume extend sp", &["spare/c"]),
        ("restblk delete x", &[]),
        ("restblk detach ", &["main/b"]),
        ("restblk detach /dev/r", &["/dev/restblk/main/b"]),
        ("restblk detach /dev/u", &["/dev/ublkb0"]),
        ("restblk create ", &["main/", "spare/"]),
        ("restblk pool show m", &["main"]),
        ("restblk mirror add s", &["spare"]),
        ("restblk list ", &["main", "spare"]),
        ("restblk unexport ", &[]),
    ] {
        let found = offered(words);
        let found: Vec<&str> = found
            .iter()
            .map(String::as_str)
            .filter(|w| !w.starts_with('-'))
            .collect();
        assert_eq!(found, names, "{words}");
    }
    assert!(offered("restblk att").contains(&"attach".to_owned()));
    assert!(
        offered("restblk attach main/a --transport ")
            .iter()
            .any(|w| w.contains("ublk"))
    );
}

#[test]
fn the_socket_of_the_line_is_asked() {
    let host = host();
    let line = format!("restblk --socket {} attach ma", host.server.socket().display());
    assert_eq!(offered(Path::new("/nonexistent"), &line), ["main/a"]);
}

#[test]
fn without_a_daemon_nothing_is_offered_and_nothing_said() {
    let dir = tempfile::TempDir::new().unwrap();
    let socket = dir.path().join("api.sock");
    assert!(offered(&socket, "restblk attach ma").is_empty());
    assert!(offered(&socket, "restblk pool show m").is_empty());
    // Left by a dead daemon; then one that takes connections and does not answer.
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    assert!(offered(&socket, "restblk attach ma").is_empty());
    drop(listener);
    assert!(offered(&socket, "restblk attach ma").is_empty());
    std::fs::remove_file(&socket).unwrap();
    std::fs::write(&socket, "no socket").unwrap();
    assert!(offered(&socket, "restblk attach ma").is_empty());
}

#[test]
fn a_slow_store_leaves_the_pools() {
    let host = Host::new(|asked| match asked.line().as_str() {
        "GET /v1/pools" => (200, json!([pool("main")])),
        _ => {
            std::thread::sleep(Duration::from_secs(10));
            (503, json!({"kind": "unavailable", "message": "late"}))
        }
    });
    assert_eq!(offered(host.server.socket(), "restblk attach ma"), ["main/"]);
}

/// A folder with the program's name for PATH, and the script for this shell.
fn installed(host: &Host, shell: &str) -> String {
    let dir = host.dir.path();
    let program = dir.join("restblk");
    if !program.exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_restblk"), &program).unwrap();
    }
    let script = dir.join(format!("completions.{shell}"));
    let made = finish(restblk(&format!("completions {shell}")));
    assert_eq!(made.code, 0, "{}", made.err);
    std::fs::write(&script, made.out).unwrap();
    script.display().to_string()
}

/// Runs a shell on these commands; nothing where it is not installed.
fn shell(host: &Host, program: &[&str], commands: &str) -> Option<String> {
    let mut command = Command::new(program[0]);
    let path = std::env::var("PATH").unwrap();
    command.args(&program[1..]).arg("-c").arg(commands);
    command.env("PATH", format!("{}:{path}", host.dir.path().display()));
    command.env("RESTBLK_SOCKET", host.server.socket());
    command.env("HOME", host.dir.path());
    match command.output() {
        Ok(output) => {
            assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{program:?}");
            Some(String::from_utf8(output.stdout).unwrap())
        }
        Err(error) => {
            println!("skipped: {} is not installed ({error})", program[0]);
            None
        }
    }
}

#[test]
fn bash_completes() {
    let host = host();
    let script = installed(&host, "bash");
    let complete = |words: &[&str]| {
        let (last, before) = (words[words.len() - 1], words[words.len() - 2]);
        let commands = format!(
            "source {script}; COMP_WORDS=({}); COMP_CWORD={}; COMP_TYPE=9
             {{ _clap_complete_restblk restblk '{last}' {before}; }} 2>/dev/null; echo \"${{COMPREPLY[@]}}\"",
            words.join(" "),
            words.len() - 1
        );
        shell(&host, &["bash", "--norc", "--noprofile"], &commands).unwrap()
    };
    assert_eq!(complete(&["restblk", "att"]).trim(), "attach");
    assert_eq!(complete(&["restblk", "attach", "ma"]).trim(), "main/a");
    assert_eq!(complete(&["restblk", "pool", "show", "s"]).trim(), "spare");
}

#[test]
fn fish_completes() {
    let host = host();
    let script = installed(&host, "fish");
    let commands = format!("source {script}; complete -C 'restblk show ma'; complete -C 'restblk pool sh'");
    if let Some(found) = shell(&host, &["fish", "--no-config"], &commands) {
        assert_eq!(
            found,
            "main/a\t10 GiB\nmain/b\t1 GiB\nshow\tShow a pool: its state, its mirrors, and what its store was proved to do\n"
        );
    }
}

#[test]
fn zsh_completes_at_the_first_tab() {
    let host = host();
    let folder = host.dir.path().join("functions");
    std::fs::create_dir(&folder).unwrap();
    std::fs::rename(installed(&host, "zsh"), folder.join("_restblk")).unwrap();
    // A terminal of its own, in which a person types TAB and then Enter.
    let commands = format!(
        "zmodload zsh/zpty; zpty shell zsh -f -i
         zpty -w shell 'PS1=; fpath=({} $fpath); autoload -U compinit; compinit -u -D; stty -echo; print re''ady'
         zpty -r -m shell seen '*ready*'
         zpty -w -n shell $'restblk attach ma\t\n'
         zpty -r -m shell seen '*failed*'; zpty -d shell",
        folder.display()
    );
    if shell(&host, &["timeout", "60", "zsh", "-f"], &commands).is_some() {
        let asked = host.server.asked();
        let attach = asked.iter().find(|asked| asked.line() == "POST /v1/attachments");
        assert_eq!(
            attach.map(|asked| &asked.body["volume"]),
            Some(&json!("main/a")),
            "{asked:?}"
        );
    }
}
