//! Edge: what a start over the control socket may open (contract SEC-1).

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use crate::support::{Place, lines, write_all};

#[test]
fn a_task_with_a_trusted_root_follows_no_link_below_it() {
    let place = Place::new();
    let server = place.serve();
    let link = place.path("link");
    symlink(place.path(""), &link).unwrap();
    let mut request = place.start_request("web", 3, 1000);
    request["trusted_root"] = json!(place.path(""));
    request["log_dir"] = json!(link.join("logs"));
    let answer = place.ask(&request);
    assert_eq!(answer["ok"], false, "{answer}");
    let told = answer["error"].to_string();
    let named = format!("{}: it is a symbolic link", link.display());
    assert!(told.contains(&named), "{told}");
    assert_eq!(fs::read_dir(place.path("logs")).unwrap().count(), 0);

    request["log_dir"] = json!(place.path("logs"));
    let answer = place.ask(&request);
    assert_eq!(answer["ok"], true, "{answer}");
    write_all(&place.writer("web.out"), &lines(0, 3));
    place.wait_for_log("web.stdout", &lines(0, 3));
    request.as_object_mut().unwrap().remove("trusted_root");
    let answer = place.ask(&request).to_string();
    assert!(answer.contains("trusted root"), "{answer}");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn ctl_sends_the_trusted_root() {
    let place = Place::new();
    let server = place.serve();
    let link = place.path("link");
    symlink(place.path(""), &link).unwrap();
    let start = |root: &str| {
        let mut words = vec![
            "start",
            "--task=web",
            "--max-files=2",
            "--max-file-size=1000",
        ];
        let fifo = format!("--stdout={}=web.stdout", link.join("run/out").display());
        let logs = format!("--log-dir={}", place.path("logs").display());
        let root = format!("--trusted-root={root}");
        words.extend([&*fifo, &*logs, &*root]);
        let output = place.logmon("ctl", &words);
        String::from_utf8(output.stderr).unwrap()
    };
    let named = format!("{}: it is a symbolic link", link.display());
    let told = start(place.path("").to_str().unwrap());
    assert!(told.contains(&named), "{told}");
    // A relative path is one of the client's folder.
    let told = start("folder");
    let here = std::env::current_dir().unwrap().join("folder");
    let named = format!("the trusted root {}", here.display());
    assert!(told.contains(&named), "{told}");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_task_has_the_fifo_owner_that_its_start_names() {
    let place = Place::new();
    let server = place.serve();
    let mut request = place.start_request("web", 3, 1000);
    request["fifo_owner"] = json!("no-such-user");
    let answer = place.ask(&request).to_string();
    assert!(answer.contains("no-such-user"), "{answer}");
    let group = nix::unistd::getegid();
    request["fifo_owner"] = json!(format!(":{group}"));
    assert_eq!(place.ask(&request)["ok"], true);
    request["fifo_owner"] = json!(":1");
    let answer = place.ask(&request).to_string();
    assert!(answer.contains("FIFO owner"), "{answer}");
    assert_eq!(server.stop(), Some(0));

    let server = place.serve();
    let told = place.logmon(
        "ctl",
        &[
            "start",
            "--task=other",
            "--max-files=2",
            "--max-file-size=1000",
            &format!("--log-dir={}", place.path("logs").display()),
            &format!("--stdout={}=other", place.fifo("other").display()),
            "--fifo-owner=no-such-user",
        ],
    );
    let told = String::from_utf8(told.stderr).unwrap();
    assert!(told.contains("no-such-user"), "{told}");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_task_with_a_trusted_root_has_nothing_outside_of_it() {
    let place = Place::new();
    let server = place.serve();
    let root = place.path("root");
    fs::create_dir(&root).unwrap();
    fs::create_dir(root.join("logs")).unwrap();
    let ask = |log_dir: &std::path::Path, fifo: &std::path::Path| {
        let mut request = place.start_request("web", 3, 1000);
        request["trusted_root"] = json!(root);
        request["log_dir"] = json!(log_dir);
        request["stdout"]["fifo"] = json!(fifo);
        request.as_object_mut().unwrap().remove("stderr");
        place.ask(&request)
    };
    let (inside, outside) = (root.join("logs"), place.path("logs"));
    for (log_dir, fifo, named) in [
        (&outside, root.join("out"), &outside),
        (&inside, outside.join("out"), &outside),
        (
            &root.join("../logs"),
            root.join("out"),
            &root.join("../logs"),
        ),
        (&inside, root.join("../logs/out"), &root.join("../logs")),
    ] {
        let answer = ask(log_dir, &fifo);
        assert_eq!(answer["error"]["exit"], 66, "{answer}");
        let told = answer["error"]["message"].to_string();
        let named = format!(
            "open {}: it is not below the trusted root {}",
            named.display(),
            root.display()
        );
        assert!(told.contains(&named), "{told}");
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert_eq!(fs::read_dir(&inside).unwrap().count(), 0);
    let answer = ask(&inside, &root.join("out"));
    assert_eq!(answer["ok"], true, "{answer}");
    assert_eq!(server.stop(), Some(0));
}
