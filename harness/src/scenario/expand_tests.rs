//! Tests of the expansion of scenario files. (core)

use super::super::model::{Action, LogmonOutcome, SignalName};
use super::super::size::Size;
use super::*;
use crate::rule::Level;

const HEAD: &str = "id = \"fifo/plain\"\ntitle = \"It works.\"\nrules = [\"FIFO-1\"]\n";
const PLAN: &str = "[[plan]]\ndo = \"start-logmon\"\n";

fn one(text: &str) -> Scenario {
    let mut cases = expand(text, "x.toml").unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert_eq!(cases.len(), 1);
    cases.remove(0)
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

fn refused(text: &str) -> String {
    match expand(text, "x.toml") {
        Ok(cases) => panic!("accepted as {cases:?}"),
        Err(error) => chain(&error),
    }
}

#[test]
fn a_plain_file_is_one_case() {
    let case = one(&format!(
        "{HEAD}[limits]\nmax_file_bytes = \"64KiB\"\n[tasks.main]\nseed = 3\nexit_code = 4\n\
         [[tasks.main.step]]\ndo = \"records\"\nstream = \"stdout\"\ncount = 5\n\
         [[tasks.main.step]]\ndo = \"gate\"\nname = \"go\"\n\
         {PLAN}[[plan]]\ndo = \"start-task\"\n[[plan]]\ndo = \"await\"\nuntil = \"at-gate\"\ngate = \"go\"\n\
         [[plan]]\ndo = \"repeat\"\ntimes = 2\nplan = [{{ do = \"signal-logmon\", signal = \"KILL\" }}]\n"
    ));
    assert_eq!(case.limits.max_file_bytes, Size(65_536));
    assert_eq!(case.tasks["main"].steps.len(), 2);
    assert_eq!(case.level, Level::Must);
    assert!(matches!(
        case.plan[0].action,
        Action::StartLogmon {
            expect: LogmonOutcome::Ready,
            ..
        }
    ));
    let Action::Repeat { times: 2, plan } = &case.plan[3].action else {
        panic!("{:?}", case.plan[3])
    };
    assert_eq!(
        plan[0].action,
        Action::SignalLogmon {
            signal: SignalName::Kill
        }
    );
}

#[test]
fn a_case_survives_json() {
    let case = one(&format!(
        "{HEAD}[tasks.main]\n[[tasks.main.step]]\ndo = \"die\"\nsignal = \"TERM\"\n\
         {PLAN}[[plan]]\ndo = \"await\"\nuntil = \"logged\"\notherwise = \"late\"\n[[plan]]\ndo = \"look\"\n"
    ));
    let text = serde_json::to_string(&case).unwrap();
    assert_eq!(
        serde_json::from_str::<Scenario>(&text).unwrap().plan,
        case.plan
    );
    assert_eq!(
        serde_json::from_str::<Scenario>(&text).unwrap().tasks,
        case.tasks
    );
}

#[test]
fn an_unknown_key_is_refused_everywhere() {
    let cases = [
        format!("colour = 1\n{HEAD}{PLAN}"),
        format!("{HEAD}[limits]\nmax_fils = 3\n{PLAN}"),
        format!("{HEAD}[host]\nfifo = \"absent\"\n{PLAN}"),
        format!("{HEAD}[expect]\nstduot = \"exact\"\n{PLAN}"),
        format!("{HEAD}{PLAN}expects = \"ready\"\n"),
        format!("{HEAD}{PLAN}[[plan]]\ndo = \"look\"\nwhy = \"x\"\n"),
        format!("{HEAD}{PLAN}[[plan]]\ndo = \"drop-reader\"\nonyl = {{}}\n"),
        format!("{HEAD}{PLAN}[[plan]]\ndo = \"await\"\nuntil = \"logged\"\nwithin = 5\n"),
        format!("{HEAD}{PLAN}[[plan]]\ndo = \"start-task\"\nscirpt = \"main\"\n"),
        format!(
            "{HEAD}{PLAN}[[plan]]\ndo = \"repeat\"\ntimes = 2\nplan = [{{ do = \"look\", x = 1 }}]\n"
        ),
        format!("{HEAD}[tasks.main]\nexit = 3\n{PLAN}"),
        format!(
            "{HEAD}[tasks.main]\n[[tasks.main.step]]\ndo = \"gate\"\nname = \"g\"\nfor = 1\n{PLAN}"
        ),
        format!("needs = [{{ capability = \"merged\", only = {{}}, x = 1 }}]\n{HEAD}{PLAN}"),
    ];
    for text in cases {
        let error = refused(&text);
        assert!(error.starts_with("x.toml: "), "{error}");
        assert!(
            error.contains("unknown") || error.contains("did not match"),
            "{text}\n{error}"
        );
    }
}

#[test]
fn a_wrong_step_is_named_by_its_place() {
    let error = refused(&format!("{HEAD}{PLAN}[[plan]]\ndo = \"lok\"\n"));
    assert!(
        error.starts_with("x.toml: plan 2 (lok): unknown variant `lok`"),
        "{error}"
    );
}

#[test]
fn a_matrix_stands_for_every_combination() {
    let text = format!(
        "id = \"life/stop-{{sig}}-{{bytes}}\"\ntitle = \"Stops by {{sig}}.\"\nrules = [\"LIFE-5\"]\n\
         needs = [{{ capability = \"signals\", only = {{ sig = [\"TERM\"] }} }}, \"multi-writer\"]\n\
         [matrix]\nsig = [\"TERM\", \"KILL\"]\nbytes = [\"100\", \"200\"]\n\
         [tasks.main]\n[[tasks.main.step]]\ndo = \"records\"\nstream = \"stdout\"\ncount = 1\nbytes = \"{{bytes}}\"\n\
         [[tasks.main.step]]\ndo = \"sleep\"\nms = 1\nonly = {{ sig = [\"KILL\"] }}\n\
         {PLAN}[[plan]]\ndo = \"signal-logmon\"\nsignal = \"{{sig}}\"\n\
         [[plan]]\ndo = \"repeat\"\ntimes = 1\nplan = [{{ do = \"look\" }}, {{ do = \"drop-reader\", only = {{ sig = [\"TERM\"] }} }}]\n"
    )
    .replace("life/stop-{sig}", "life/stop-{sig}");
    let error = refused(&text);
    assert!(
        error.contains("lower-case"),
        "an id of upper-case letters: {error}"
    );

    let text = text
        .replace("life/stop-{sig}", "life/stop-{name}")
        .replace("[matrix]\n", "[matrix]\nname = [\"a\"]\n");
    let error = refused(&text);
    assert!(
        error.contains("two variants have the id `life/stop-a-100`"),
        "{error}"
    );

    let text = text
        .replace("sig = [\"TERM\", \"KILL\"]", "sig = [\"KILL\"]")
        .replace(
            "only = { sig = [\"TERM\"] }",
            "only = { bytes = [\"200\"] }",
        );
    let cases = expand(&text, "x.toml").unwrap_or_else(|error| panic!("{}", chain(&error)));
    let ids: Vec<&str> = cases.iter().map(|case| case.id.as_str()).collect();
    assert_eq!(ids, ["life/stop-a-100", "life/stop-a-200"]);
    assert_eq!(cases[0].title, "Stops by KILL.");
    assert_eq!(cases[0].needs(), [Capability::MultiWriter]);
    assert_eq!(
        cases[1].needs(),
        [Capability::Signals, Capability::MultiWriter]
    );
    assert_eq!(cases[0].tasks["main"].steps.len(), 2);
    let looks = |case: &Scenario| {
        let Action::Repeat { plan, .. } = &case.plan[2].action else {
            panic!("no repeat")
        };
        plan.len()
    };
    assert_eq!((looks(&cases[0]), looks(&cases[1])), (1, 2));
    assert_eq!(cases[0].matrix["bytes"], ["100"]);
}

#[test]
fn an_only_of_an_unknown_axis_or_value_is_refused() {
    let text = format!("{HEAD}[matrix]\nx = [\"1\"]\n{PLAN}only = {{ y = [\"1\"] }}\n");
    assert!(refused(&text).contains("plan 1.only: there is no axis `y`; the axes are: x"));
    let text = format!("{HEAD}[matrix]\nx = [\"1\"]\n{PLAN}only = {{ x = [\"2\"] }}\n");
    assert!(refused(&text).contains("the axis `x` has no value `2`; its values are: 1"));
}

#[test]
fn nonsense_is_refused_with_its_key_and_a_way_out() {
    let cases = [
        (
            "id = \"fifo/plain\"",
            "id = \"plain\"",
            "id: `plain` is no id of a case; write `family/name`",
        ),
        ("FIFO-1", "FIFO-999", "rules: there is no rule FIFO-999"),
        ("[\"FIFO-1\"]", "[]", "rules: the list is empty"),
        (
            "start-logmon\"",
            "start-task\"",
            "plan 1.script: there is no script `main`; add `[tasks.main]`",
        ),
        (
            "start-logmon\"",
            "release\"\ngate = \"g\"",
            "plan 1.gate: no script has a gate `g`",
        ),
        (
            "start-logmon\"",
            "kill-often\"\nwhat = \"logmon\"\ncount = 3\ngate = \"g\"",
            "plan 1.gate: no script has a gate `g-1`",
        ),
        (
            "start-logmon\"",
            "await\"\nuntil = \"at-gate\"",
            "plan 1.gate: there is none",
        ),
        (
            "start-logmon\"",
            "await\"\nuntil = \"pipe-full\"\nbytes = 3",
            "plan 1.bytes: only",
        ),
        (
            "start-logmon\"",
            "await\"\nuntil = \"logged\"\nrule = \"FIFO-1\"",
            "plan 1.rule: ",
        ),
        (
            "start-logmon\"",
            "elapse\"\nms = 3\nbecause = \"\"",
            "plan 1.because: it is empty",
        ),
        (
            "start-logmon\"",
            "repeat\"\ntimes = 0\nplan = []",
            "plan 1.times: 0 times",
        ),
        (
            "[[plan]]\ndo = \"start-logmon\"",
            "plan = []",
            "plan: it is empty",
        ),
        ("[[plan]]\ndo = \"start-logmon\"", "", "plan: there is none"),
        (
            "[[plan]]",
            "needs = [\"wings\"]\n[[plan]]",
            "needs: unknown capability `wings`",
        ),
        (
            "[[plan]]",
            "host.log_folder = \"tmpfs\"\n[[plan]]",
            "host.log_folder_bytes: there is no size",
        ),
        (
            "[[plan]]",
            "host.log_folder_bytes = \"1MiB\"\n[[plan]]",
            "host.log_folder_bytes: only `tmpfs` has a size",
        ),
        (
            "[[plan]]",
            "host.log_folder = \"tmpfs\"\nhost.log_folder_bytes = \"1MiB\"\n[[plan]]",
            "host.log_folder: not everybody has storage-faults; add \"storage-faults\" to `needs`",
        ),
        (
            "[[plan]]",
            "limits.on_full = \"drop\"\n[[plan]]",
            "limits.on_full: not everybody has drop-policy; add \"drop-policy\" to `needs`",
        ),
        (
            "start-logmon\"",
            "break\"\nwhat = \"disk-full\"",
            "plan 1.what: `disk-full` is not prepared; add `log_folder = \"tmpfs\"`",
        ),
        (
            "start-logmon\"",
            "break\"\nwhat = \"storage-stalled\"",
            "plan 1.what: `storage-stalled` is not prepared; add `log_folder = \"stalling\"`",
        ),
        (
            "[[plan]]",
            "host.log_folder = \"stalling\"\n[[plan]]",
            "host.log_folder: not everybody has stalling-storage; add \"stalling-storage\" to `needs`",
        ),
        (
            "start-logmon\"",
            "start-logmon\"\nexpect = \"ready-or-refused\"",
            "plan 1.words: there is no option that logmon may refuse; add one that begins with a dash",
        ),
        (
            "start-logmon\"",
            "start-logmon\"\nexpect = \"ready-or-refused\"\nwords = [\"--\", \"1\"]",
            "plan 1.words: there is no option",
        ),
        (
            "[[plan]]\ndo = \"start-logmon\"",
            "needs = [\"stalling-storage\"]\nhost.log_folder = \"stalling\"\n[[plan]]\ndo = \"hold-reader\"",
            "the host can't hold pipes",
        ),
    ];
    for (old, new, wanted) in cases {
        let text = format!("{HEAD}{PLAN}");
        assert!(text.contains(old), "{old}");
        let error = refused(&text.replace(old, new));
        assert!(error.contains(wanted), "{new}\n{error}");
    }
}

#[test]
fn text_with_an_error_of_toml_is_refused_with_its_line() {
    let error = refused("id = \n");
    assert!(
        error.contains("not a TOML file") && error.contains("line 1"),
        "{error}"
    );
}

#[test]
fn an_unknown_key_is_told_before_what_is_missing() {
    let error = refused("id = \"fifo/plain\"\nplans = 3\n");
    assert!(error.contains("plans"), "{error}");
    let error = refused(&format!("{HEAD}[[plann]]\ndo = \"start-logmon\"\n"));
    assert!(error.contains("plann"), "{error}");
    let error = refused(&format!("{HEAD}[tasks.main]\nwrong = 1\n[task]\n"));
    assert!(error.contains("`task`"), "{error}");
}

#[test]
fn a_second_task_has_a_gate_that_it_is_known_by() {
    let text = |step: &str| {
        format!(
            "{HEAD}[tasks.main]\nstep = []\n[tasks.beside]\nstep = [{step}]\n{PLAN}[[plan]]\n\
             do = \"start-task\"\n[[plan]]\ndo = \"start-second-task\"\nscript = \"beside\"\n"
        )
    };
    let case = one(&text("{ do = \"gate\", name = \"go\" }"));
    assert!(case.has_second_task());
    let said = refused(&text(
        "{ do = \"records\", stream = \"stdout\", count = 5 }",
    ));
    assert!(said.contains("has no gate"), "{said}");
    let said = refused(&text("").replace("script = \"beside\"", "script = \"none\""));
    assert!(said.contains("there is no script `none`"), "{said}");
}
