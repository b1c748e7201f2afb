//! Subjects that are plugins of Nomad, as the programs that stand before them, and as what their author wrote.
//! (core)
//!
//! The suite speaks to a process of its own, which hosts the plugin. Its command line holds all that the author
//! said of the plugin, so it can be said again in the author's words.

/// The words that begin the process before a driver plugin.
const DRIVER: [&str; 3] = ["{self}", "nomad", "driver"];
/// The words that begin the process before a log collector.
const LOGMON: [&str; 3] = ["{self}", "nomad", "logmon"];
/// What stands before the plugin's program.
const END_OF_OPTIONS: &str = "--";

/// A driver plugin, as its author gives it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DriverPlugin {
    /// The program.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// The file of its configuration.
    pub plugin_config: Option<String>,
    /// The file of its tasks' configuration.
    pub task_config: String,
    /// What is declared of it.
    pub declared: Vec<String>,
}

impl DriverPlugin {
    /// The template of the process that speaks for it.
    #[must_use]
    pub fn spoken_for(&self) -> Vec<String> {
        let mut words = DRIVER.map(str::to_owned).to_vec();
        if let Some(path) = &self.plugin_config {
            words.extend(["--plugin-config".into(), path.clone()]);
        }
        words.extend(["--task-config".into(), self.task_config.clone()]);
        for one in &self.declared {
            words.extend(["--capability".into(), one.clone()]);
        }
        words.push(END_OF_OPTIONS.into());
        words.push(self.program.clone());
        words.extend(self.arguments.iter().cloned());
        words
    }

    /// The plugin that such a process speaks for; none if it is another program.
    #[must_use]
    pub fn behind(template: &[String]) -> Option<Self> {
        let (options, plugin) = parts(template, DRIVER)?;
        let (program, arguments) = plugin.split_first()?;
        let mut found = Self {
            program: program.clone(),
            arguments: arguments.to_vec(),
            ..Self::default()
        };
        for pair in options.chunks(2) {
            let [option, value] = pair else { return None };
            match option.as_str() {
                "--plugin-config" => found.plugin_config = Some(value.clone()),
                "--task-config" => found.task_config.clone_from(value),
                "--capability" => found.declared.extend(value.split(',').map(str::to_owned)),
                _ => return None,
            }
        }
        Some(found)
    }

    /// The options of `harness run` that give it.
    #[must_use]
    pub fn options(&self) -> Vec<String> {
        let mut words = vec!["--nomad-plugin".to_owned(), self.program.clone()];
        if !self.arguments.is_empty() {
            let arguments = shell_words::join(&self.arguments);
            words.extend(["--plugin-args".into(), arguments]);
        }
        if let Some(path) = &self.plugin_config {
            words.extend(["--plugin-config".into(), path.clone()]);
        }
        words.extend(["--task-config".into(), self.task_config.clone()]);
        if !self.declared.is_empty() {
            words.extend(["--capability".into(), self.declared.join(",")]);
        }
        words
    }

    /// The program with its arguments, on one line.
    #[must_use]
    pub fn command(&self) -> String {
        let program = std::iter::once(&self.program);
        shell_words::join(program.chain(&self.arguments))
    }
}

/// The template of a logmon that hosts a log collector, which is given as its author does.
#[must_use]
pub fn hosted_logmon(collector: &str) -> String {
    format!(
        "{} --log-dir {{log_dir}} --stdout {{stdout_fifo}}={{stdout_name}} --stderr {{stderr_fifo}}={{stderr_name}} \
         --max-files {{max_files}} --max-file-mb {{max_file_mb}} --start {{start}} --again {{keep_dir}}/again \
         {END_OF_OPTIONS} {collector}",
        LOGMON.join(" ")
    )
}

/// The log collector that such a logmon hosts; none if it is another program.
#[must_use]
pub fn hosted_behind(template: &[String]) -> Option<String> {
    let (_, collector) = parts(template, LOGMON)?;
    Some(shell_words::join(collector))
}

/// The options of such a process, and the plugin with its arguments.
fn parts<'a>(template: &'a [String], begins: [&str; 3]) -> Option<(&'a [String], &'a [String])> {
    let (first, rest) = template.split_first_chunk::<3>()?;
    let end = rest.iter().position(|word| word == END_OF_OPTIONS)?;
    let (options, plugin) = rest.split_at(end);
    (*first == begins).then_some((options, plugin.get(1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin() -> DriverPlugin {
        DriverPlugin {
            program: "/opt/a driver".into(),
            arguments: vec!["--".into(), "it's".into()],
            plugin_config: Some("/c/plugin.toml".into()),
            task_config: "/c/task.toml".into(),
            declared: vec!["forwards".into(), "checks-paths".into()],
        }
    }

    #[test]
    fn what_an_author_gave_is_found_again_behind_the_process() {
        for given in [
            plugin(),
            DriverPlugin {
                program: "mine".into(),
                task_config: "t".into(),
                ..DriverPlugin::default()
            },
        ] {
            assert_eq!(DriverPlugin::behind(&given.spoken_for()), Some(given));
        }
    }

    #[test]
    fn it_is_said_again_in_the_authors_words() {
        assert_eq!(
            shell_words::join(plugin().options()),
            "--nomad-plugin '/opt/a driver' --plugin-args '-- '\\''it'\\''\\'\\'''\\''s'\\''' \
             --plugin-config /c/plugin.toml --task-config /c/task.toml --capability forwards,checks-paths"
        );
        assert_eq!(plugin().command(), "'/opt/a driver' -- 'it'\\''s'");
    }

    #[test]
    fn another_program_hosts_nothing() {
        let words = |text: &str| shell_words::split(text).unwrap();
        for text in [
            "{self} mock-driver stdio",
            "{self} nomad driver --task-config t",
            "{self} nomad driver --unknown x -- p",
            "{self} nomad logmon -- p",
            "mine nomad driver -- p",
        ] {
            assert_eq!(DriverPlugin::behind(&words(text)), None, "{text}");
        }
        assert_eq!(hosted_behind(&words("{self} logmon run -- p")), None);
        let hosted = words(&hosted_logmon("nomad logmon 'a b'"));
        assert_eq!(
            hosted_behind(&hosted).as_deref(),
            Some("nomad logmon 'a b'")
        );
    }
}
