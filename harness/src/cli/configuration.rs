//! `harness.toml` on disk, and flags that win over it. (edge)

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::args::{ReportTarget, RunArgs, SubjectArgs};
use super::nomad::PluginArgs;
use super::refusal::Refusal;
use super::run::subject_of;
use crate::config::{CONFIG_FILE, Config, DriverTable};
use crate::outcome::Ending;
use crate::report;
use crate::suite::{Filter, error_chain};

/// A file and what it says, checked.
#[derive(Debug)]
struct Found {
    path: PathBuf,
    config: Config,
    reports: Vec<ReportTarget>,
}

/// The arguments with what the file says where they say nothing. The file is the one that is named,
/// else `harness.toml` in the current folder, else none.
///
/// # Errors
/// The file can't be read, or something in it can't stand.
pub(super) fn run_args(args: &RunArgs) -> Result<RunArgs, Refusal> {
    Ok(match find(args.config.as_deref())? {
        Some(found) => merged(args, found),
        None => args.clone(),
    })
}

/// What the arguments and the file say of the subject.
///
/// # Errors
/// As of [`run_args`].
pub(super) fn subject_args(
    config: Option<&Path>,
    args: &SubjectArgs,
) -> Result<SubjectArgs, Refusal> {
    Ok(match find(config)? {
        Some(found) => merged_subject(args, found.config),
        None => args.clone(),
    })
}

fn find(named: Option<&Path>) -> Result<Option<Found>, Refusal> {
    let path = named.unwrap_or(Path::new(CONFIG_FILE));
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound && named.is_none() => return Ok(None),
        Err(error) => return Err(refused(path, None, &error.to_string())),
    };
    let config = Config::read(&text)
        .map_err(|error| refused(path, error.line, &error.to_string()))?
        .in_folder(path.parent().unwrap_or(Path::new("")));
    let reports = reports(&config).map_err(|why| refused(path, None, &why))?;
    check(&config).map_err(|why| refused(path, None, &why))?;
    Ok(Some(Found {
        path: path.to_owned(),
        config,
        reports,
    }))
}

fn reports(config: &Config) -> Result<Vec<ReportTarget>, String> {
    let one = |(kind, path): (&String, &PathBuf)| {
        let target = format!("{kind}={}", path.display());
        target
            .parse()
            .map_err(|why| format!("report of [run]: {why}"))
    };
    config.run.report.iter().map(one).collect()
}

/// Refuses what could not be a flag either, so that the file is blamed and not the command line.
fn check(config: &Config) -> Result<(), String> {
    const FLAGS: &str = "in this file --driver is `command` of [driver], --logmon is `command` and \
                         --nomad-logmon `nomad_plugin` of [logmon], --logmon-serve, -start and -stop are its `serve`, `start` and \
                         `stop`, and --capability is `capabilities`";
    check_driver(&config.driver)?;
    if config.logmon.command.is_some() && config.logmon.nomad_plugin.is_some() {
        return Err(
            "[logmon] has `command` and `nomad_plugin`; take the one that starts it".into(),
        );
    }
    subject_of(&merged_subject(&SubjectArgs::default(), config.clone()))
        .map_err(|error| format!("{}; {FLAGS}", error_chain(&error)))?;
    for (key, globs) in [
        ("filter", &config.run.filter),
        ("exclude", &config.run.exclude),
    ] {
        Filter::new(globs, &[], None, [].into())
            .map_err(|error| format!("{key} of [run]: {}", error_chain(&error)))?;
    }
    Ok(())
}

/// That one key starts the driver, and that it has what it needs.
fn check_driver(driver: &DriverTable) -> Result<(), String> {
    let ways = [
        ("command", driver.command.is_some()),
        ("stdio", driver.stdio.is_some()),
        ("nomad_plugin", driver.nomad_plugin.is_some()),
    ];
    let mut taken = ways.iter().filter(|(_, is_there)| *is_there);
    if let (Some((one, _)), Some((other, _))) = (taken.next(), taken.next()) {
        return Err(format!(
            "[driver] has `{one}` and `{other}`; take the one that starts it"
        ));
    }
    if let (Some(_), Some(one)) = (&driver.stdio, driver.capabilities.first()) {
        return Err(format!(
            "`capabilities` of [driver] has {one}, but a driver of `stdio` declares its own in its answer to `hello`; \
             take it out"
        ));
    }
    let of_plugins = [
        ("plugin_args", driver.plugin_args.is_some()),
        ("plugin_config", driver.plugin_config.is_some()),
        ("task_config", driver.task_config.is_some()),
    ];
    match (&driver.nomad_plugin, &driver.task_config) {
        (Some(_), None) => Err(
            "[driver] has `nomad_plugin` and no `task_config`, the file that tells what a task runs: docs/nomad.md".into(),
        ),
        (Some(_), Some(_)) => Ok(()),
        (None, _) => match of_plugins.iter().find(|(_, is_there)| *is_there) {
            Some((key, _)) => Err(format!("[driver] has `{key}` and no `nomad_plugin` that it is for")),
            None => Ok(()),
        },
    }
}

fn refused(path: &Path, line: Option<usize>, why: &str) -> Refusal {
    let place = match line {
        Some(line) => format!("{}:{line}", path.display()),
        None => path.display().to_string(),
    };
    let text = report::wrapped(&format!("{place}: {why}"), "  ", 80);
    Refusal::new(
        Ending::BadConfiguration,
        format!("the configuration can't be used\n{text}"),
    )
}

/// Flags win over the file, key by key.
fn merged(args: &RunArgs, found: Found) -> RunArgs {
    let Found {
        path,
        config,
        reports,
    } = found;
    let run = config.run.clone();
    let mut args = args.clone();
    args.subject = merged_subject(&args.subject, config);
    args.config = Some(path);
    fill(&mut args.select.filter, run.filter);
    fill(&mut args.select.exclude, run.exclude);
    fill(&mut args.select.profile, run.profiles);
    fill(&mut args.report, reports);
    args.select.level = args.select.level.or(run.level);
    args.jobs = args.jobs.or(run.jobs);
    args.expected = args.expected.or(run.expected);
    args.out = args.out.or(run.out);
    args
}

/// `--driver` stands for the whole table of the driver, `--logmon` for that of logmon: what is
/// declared of one program says nothing of another one. `--capability` stands for both lists.
fn merged_subject(args: &SubjectArgs, config: Config) -> SubjectArgs {
    let mut args = args.clone();
    let mut declared = Vec::new();
    if args.driver.is_none() && args.driver_stdio.is_none() && args.plugin.nomad_plugin.is_none() {
        args.plugin = PluginArgs::of_file(&config.driver);
        args.driver = config.driver.command;
        args.driver_stdio = config.driver.stdio;
        declared.extend(config.driver.capabilities);
    }
    if args.logmon.is_none() && args.nomad_logmon.is_none() {
        args.logmon = config.logmon.command;
        args.nomad_logmon = config.logmon.nomad_plugin;
        args.logmon_serve = args.logmon_serve.or(config.logmon.serve);
        args.logmon_start = args.logmon_start.or(config.logmon.start);
        args.logmon_stop = args.logmon_stop.or(config.logmon.stop);
        declared.extend(config.logmon.capabilities);
    }
    fill(&mut args.capabilities, declared);
    args
}

fn fill<T>(list: &mut Vec<T>, other: Vec<T>) {
    if list.is_empty() {
        *list = other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::Capability;

    fn config() -> Config {
        Config::read(
            "[driver]\ncommand = \"d {task}\"\ncapabilities = [\"forwards\"]\n\
             [logmon]\ncommand = \"m\"\nserve = \"s\"\ncapabilities = [\"keeps-descriptors\"]\n",
        )
        .unwrap()
    }

    #[test]
    fn a_driver_is_a_command_or_is_spoken_to() {
        let read = |text: &str| check(&Config::read(text).unwrap());
        assert_eq!(read("[driver]\nstdio = \"talks\"\n"), Ok(()));
        let both = read("[driver]\nstdio = \"talks\"\ncommand = \"d {task}\"\n");
        assert!(both.unwrap_err().contains("`command` and `stdio`"));
        let declared = read("[driver]\nstdio = \"talks\"\ncapabilities = [\"forwards\"]\n");
        assert!(
            declared
                .unwrap_err()
                .contains("`capabilities` of [driver] has forwards")
        );
    }

    #[test]
    fn a_plugin_needs_the_configuration_of_its_tasks_and_nothing_else_has_one() {
        let read = |text: &str| check(&Config::read(text).unwrap());
        let plugin = "[driver]\nnomad_plugin = \"p\"\n";
        assert_eq!(
            read(&format!(
                "{plugin}task_config = \"t.toml\"\ncapabilities = [\"forwards\"]\n"
            )),
            Ok(())
        );
        assert!(read(plugin).unwrap_err().contains("no `task_config`"));
        let alone = read("[driver]\nplugin_args = \"a\"\n").unwrap_err();
        assert!(
            alone.contains("`plugin_args` and no `nomad_plugin`"),
            "{alone}"
        );
        let both = read(&format!(
            "{plugin}command = \"d {{task}}\"\ntask_config = \"t\"\n"
        ));
        assert!(both.unwrap_err().contains("`command` and `nomad_plugin`"));
        let both = read("[logmon]\nnomad_plugin = \"p\"\ncommand = \"l\"\n");
        assert!(
            both.unwrap_err()
                .contains("[logmon] has `command` and `nomad_plugin`")
        );
    }

    #[test]
    fn the_plugins_of_a_file_are_those_of_the_flags() {
        let text = "[driver]\nnomad_plugin = \"p\"\nplugin_args = \"a b\"\nplugin_config = \"c.toml\"\n\
                    task_config = \"t.toml\"\n[logmon]\nnomad_plugin = \"l\"\n";
        let config = Config::read(text).unwrap().in_folder(Path::new("/f"));
        let args = merged_subject(&SubjectArgs::default(), config.clone());
        assert_eq!(args.nomad_logmon.as_deref(), Some("l"));
        assert_eq!(args.plugin, PluginArgs::of_file(&config.driver));
        assert_eq!(args.plugin.nomad_plugin.as_deref(), Some(Path::new("p")));
        assert_eq!(
            config.driver.task_config.as_deref(),
            Some(Path::new("/f/t.toml"))
        );
        let driver = SubjectArgs {
            driver: Some("other {task}".into()),
            ..SubjectArgs::default()
        };
        let driver = merged_subject(&driver, config);
        assert_eq!(driver.plugin, PluginArgs::default());
        assert_eq!(driver.nomad_logmon.as_deref(), Some("l"));
    }

    #[test]
    fn a_command_on_the_command_line_stands_for_its_whole_table() {
        let nothing = merged_subject(&SubjectArgs::default(), config());
        assert_eq!(nothing.driver.as_deref(), Some("d {task}"));
        assert_eq!(
            nothing.capabilities,
            [Capability::Forwards, Capability::KeepsDescriptors]
        );
        let spoken_to = SubjectArgs {
            driver_stdio: Some("talks".into()),
            ..SubjectArgs::default()
        };
        let spoken_to = merged_subject(&spoken_to, config());
        assert_eq!(spoken_to.driver, None);
        assert_eq!(spoken_to.driver_stdio.as_deref(), Some("talks"));
        assert_eq!(spoken_to.capabilities, [Capability::KeepsDescriptors]);
        let driver = SubjectArgs {
            driver: Some("other {task}".into()),
            ..SubjectArgs::default()
        };
        let driver = merged_subject(&driver, config());
        assert_eq!(driver.driver.as_deref(), Some("other {task}"));
        assert_eq!(driver.logmon.as_deref(), Some("m"));
        assert_eq!(driver.capabilities, [Capability::KeepsDescriptors]);
        let logmon = SubjectArgs {
            logmon: Some("other".into()),
            ..SubjectArgs::default()
        };
        let logmon = merged_subject(&logmon, config());
        assert_eq!(
            (logmon.logmon.as_deref(), logmon.logmon_serve),
            (Some("other"), None)
        );
        assert_eq!(logmon.capabilities, [Capability::Forwards]);
    }

    #[test]
    fn capabilities_on_the_command_line_stand_for_both_lists() {
        let args = SubjectArgs {
            capabilities: vec![Capability::Merged],
            ..SubjectArgs::default()
        };
        assert_eq!(
            merged_subject(&args, config()).capabilities,
            [Capability::Merged]
        );
    }
}
