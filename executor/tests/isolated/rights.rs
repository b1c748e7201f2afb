//! Who a task is, and what it may do (edge).

use executor::{Capability, LaunchSpec};
use nix::unistd::{User, getgrouplist};

use crate::root::{needs_containers, said};

const SETS: &str = "grep Cap /proc/self/status";

/// The five sets, in the order of the kernel: inheritable, permitted, effective, bounding, ambient.
fn sets(change: impl FnOnce(&mut LaunchSpec)) -> Vec<u64> {
    let text = said(change, SETS);
    let values = text.lines().filter_map(|line| line.split_once(":\t"));
    values
        .map(|(_, value)| u64::from_str_radix(value, 16).unwrap())
        .collect()
}

fn named(names: &[&str]) -> Vec<Capability> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// What this process has.
fn own() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("CapEff:\t"));
    u64::from_str_radix(line.unwrap(), 16).unwrap()
}

const NET_BIND_SERVICE: u64 = 1 << 10;

#[test]
fn root_has_the_few_capabilities_of_every_task_and_all_if_they_are_asked_for() {
    needs_containers!("root_has_the_few_capabilities_of_every_task_and_all_if_they_are_asked_for");
    let few = 0xa804_05fb & own();
    assert_eq!(sets(|_| {}), [0, few, few, few, 0]);
    let all = sets(|spec| spec.container.as_mut().unwrap().add = named(&["ALL"]));
    assert_eq!(all, [0, own(), own(), own(), 0]);
}

#[test]
fn another_user_has_none_but_those_that_were_asked_for() {
    needs_containers!("another_user_has_none_but_those_that_were_asked_for");
    if User::from_name("nobody").unwrap().is_none() {
        return eprintln!(
            "skipped: another_user_has_none_but_those_that_were_asked_for: there is no nobody"
        );
    }
    let nobody = |spec: &mut LaunchSpec| spec.user = Some("nobody".into());
    assert_eq!(sets(nobody), [0, 0, 0, 0xa804_05fb & own(), 0]);
    let only = sets(|spec| {
        nobody(spec);
        let around = spec.container.as_mut().unwrap();
        around.drop = named(&["ALL"]);
        around.add = named(&["NET_BIND_SERVICE"]);
    });
    assert_eq!(only, [NET_BIND_SERVICE; 5]);
}

#[test]
fn a_task_gains_nothing_by_a_program_that_changes_its_user() {
    needs_containers!("a_task_gains_nothing_by_a_program_that_changes_its_user");
    let text = said(|_| {}, "grep NoNewPrivs /proc/self/status");
    assert_eq!(text, "NoNewPrivs:\t1\n");
}

#[test]
fn a_task_is_its_user_with_exactly_its_groups_and_starts_where_it_should() {
    needs_containers!("a_task_is_its_user_with_exactly_its_groups_and_starts_where_it_should");
    let Some(user) = User::from_name("nobody").unwrap() else {
        return eprintln!(
            "skipped: a_task_is_its_user_with_exactly_its_groups_and_starts_where_it_should: there is no nobody"
        );
    };
    let text = said(
        |spec| {
            spec.user = Some("nobody".into());
            spec.cwd = Some("/tmp".into());
        },
        "echo $USER $LOGNAME $HOME $PWD; grep -E '^(Uid|Gid|Groups)' /proc/self/status",
    );
    let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
    let mut groups: Vec<u32> = getgrouplist(c"nobody", user.gid)
        .unwrap()
        .iter()
        .map(|group| group.as_raw())
        .collect();
    groups.sort_unstable();
    let groups: Vec<String> = groups.iter().map(|group| format!("{group} ")).collect();
    let expected = format!(
        "nobody nobody {} /tmp\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nGid:\t{gid}\t{gid}\t{gid}\t{gid}\nGroups:\t{}\n",
        user.dir.display(),
        groups.concat()
    );
    assert_eq!(text, expected);
}

#[test]
fn a_task_has_exactly_the_environment_that_was_asked_for() {
    needs_containers!("a_task_has_exactly_the_environment_that_was_asked_for");
    let text = said(
        |spec| {
            spec.program = "cat".into();
            spec.args = vec!["/proc/self/environ".into()];
            spec.env.push(("B".into(), "x=y z".into()));
        },
        "",
    );
    assert_eq!(text, "PATH=/bin\0B=x=y z\0");
}
