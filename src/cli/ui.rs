//! The only place that prints. Data goes to stdout; everything else is talk and goes to stderr.

use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::args::{Global, ProgressMode};
use super::exit::Exit;
use super::hint;
use crate::progress::{Event, Kind, Progress};

#[derive(Clone)]
pub struct Ui {
    mode: ProgressMode,
    verbose: bool,
    has_color: bool,
    live: Arc<Live>,
}

/// The lines that change in place, one for each subject.
#[derive(Default)]
struct Live {
    lines: MultiProgress,
    by_subject: Mutex<HashMap<String, ProgressBar>>,
}

impl Ui {
    pub fn new(global: &Global) -> Self {
        let is_terminal = io::stderr().is_terminal();
        let mode = match global.progress {
            ProgressMode::Auto if is_terminal => ProgressMode::Tty,
            ProgressMode::Auto => ProgressMode::Plain,
            chosen => chosen,
        };
        // By the convention, any value but the empty one turns colour off.
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { mode, verbose: global.verbose, has_color: is_terminal && !no_color, live: Arc::default() }
    }

    pub fn progress(&self) -> Progress {
        let ui = self.clone();
        Progress::new(move |event| ui.show(&event))
    }

    fn show(&self, event: &Event) {
        match self.mode {
            ProgressMode::Quiet => {}
            ProgressMode::Json => talk(&serde_json::to_string(event).unwrap_or_default()),
            ProgressMode::Tty => self.show_live(event),
            ProgressMode::Plain | ProgressMode::Auto => {
                if let Some(line) = self.plain(event) {
                    talk(&line);
                }
            }
        }
    }

    fn plain(&self, event: &Event) -> Option<String> {
        let Event { subject, text, .. } = event;
        match event.kind {
            Kind::Advanced => None,
            Kind::Output if !self.verbose => None,
            Kind::Output => Some(format!("{subject}  | {text}")),
            Kind::Done => Some(format!("{subject}  {text} ({})", seconds(event.elapsed_ms))),
            Kind::Failed => Some(format!("{subject}  FAILED: {text}")),
            Kind::Begun | Kind::Changed | Kind::Note => Some(format!("{subject}  {text}")),
        }
    }

    fn show_live(&self, event: &Event) {
        let Event { subject, text, .. } = event;
        let Ok(mut lines) = self.live.by_subject.lock() else { return };
        let line =
            lines.entry(subject.clone()).or_insert_with(|| self.live.lines.add(ProgressBar::new_spinner()));
        match event.kind {
            Kind::Begun => {
                line.reset();
                line.set_style(style(&format!(
                    "{} {{prefix:10}} {{wide_msg}} {{elapsed:.dim}}",
                    self.paint("{spinner}", "cyan")
                )));
                line.set_prefix(subject.clone());
                line.set_message(text.clone());
                line.enable_steady_tick(Duration::from_millis(80));
            }
            Kind::Changed | Kind::Advanced => line.set_message(text.clone()),
            Kind::Output if self.verbose => drop(self.live.lines.println(format!("  | {text}"))),
            Kind::Output => {}
            Kind::Done | Kind::Failed | Kind::Note => {
                let mark = match event.kind {
                    Kind::Done => self.paint("✓", "green"),
                    Kind::Failed => self.paint("✗", "red"),
                    _ => " ".to_owned(),
                };
                let took = if event.kind == Kind::Note { String::new() } else { seconds(event.elapsed_ms) };
                // What is done stands above what is under way, and stays.
                let shown = self.live.lines.println(format!("{mark} {subject:10} {text} {took}"));
                line.finish_and_clear();
                lines.remove(subject);
                drop(shown);
            }
        }
    }

    /// Colours text that goes to stdout, if that is a terminal.
    pub fn paint_data(&self, text: &str, color: &str) -> String {
        if io::stdout().is_terminal() { self.paint(text, color) } else { text.to_owned() }
    }

    fn paint(&self, text: &str, color: &str) -> String {
        let code = match color {
            "red" => 31,
            "green" => 32,
            "yellow" => 33,
            _ => 36,
        };
        if self.has_color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// Prints data.
    pub fn print(&self, text: &str) {
        self.write(text.as_bytes());
    }

    /// Prints data as it is, and ends quietly where nobody reads it any more.
    pub fn write(&self, bytes: &[u8]) {
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
        if written.is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
            std::process::exit(0);
        }
    }

    pub fn is_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }

    /// Prints data over what was printed before.
    pub fn redraw(&self, text: &str) {
        // Home, each line cleared to its end, and all below: no flicker, unlike a clear screen.
        let lines: String = text.lines().map(|line| format!("{line}\u{1b}[K\n")).collect();
        self.print(&format!("\u{1b}[H{lines}\u{1b}[J"));
    }

    /// Prints data as JSON, with a line's end.
    pub fn print_json(&self, data: &impl serde::Serialize) -> anyhow::Result<()> {
        self.print(&format!("{}\n", serde_json::to_string_pretty(data)?));
        Ok(())
    }

    /// Hands on what a program complained of, as it is.
    pub fn write_talk(&self, bytes: &[u8]) {
        // Where nobody reads stderr there is no one to tell.
        drop(io::stderr().lock().write_all(bytes));
    }

    /// Says something to the user.
    pub fn say(&self, text: &str) {
        match self.mode {
            ProgressMode::Quiet => {}
            ProgressMode::Json => {
                let (subject, text) = ("lab".to_owned(), text.to_owned());
                self.show(&Event { step: 0, kind: Kind::Note, subject, text, elapsed_ms: 0 });
            }
            ProgressMode::Tty => self.live.lines.suspend(|| talk(text)),
            _ => talk(text),
        }
    }

    /// Asks a yes-or-no question. `None` if there is no one to ask.
    pub fn ask(&self, question: &str) -> Option<bool> {
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return None;
        }
        self.write_talk(format!("{question} [y/N] ").as_bytes());
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).ok()?;
        Some(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
    }

    /// Prints an error, what it comes from, and what to do.
    pub fn error(&self, error: &anyhow::Error, exit: Exit) {
        let hint = hint::of(error);
        if self.mode == ProgressMode::Json {
            let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
            let json = serde_json::json!({ "kind": "error", "chain": chain, "hint": hint, "exit_code": exit.code() });
            talk(&json.to_string());
            return;
        }
        let mut text = format!("{} {error}\n", self.paint("error:", "red"));
        let mut last = error.to_string();
        for cause in error.chain().skip(1).map(ToString::to_string) {
            // A transparent error is its source, and some end with theirs: saying it twice helps nobody.
            if !last.ends_with(&cause) {
                text += &format!("because: {cause}\n");
            }
            last = cause;
        }
        for line in hint::details(error) {
            text += &format!("  - {line}\n");
        }
        if let Some(hint) = hint {
            text += &format!("{} {hint}\n", self.paint("hint:", "yellow"));
        }
        self.live.lines.suspend(|| self.write_talk(text.as_bytes()));
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is part of the program")
}

fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}

/// Prints why the command line could not be read, or the help or version that was asked for.
pub fn usage(error: &clap::Error) -> Exit {
    if !error.use_stderr() {
        // Where nobody reads help there is no one to tell.
        drop(error.print());
        return Exit::Done;
    }
    if wants_json() {
        let text = error.to_string();
        let told = text.lines().take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
        let tip = text.lines().find_map(|line| line.trim_start().strip_prefix("tip: "));
        let chain = [told.strip_prefix("error: ").unwrap_or(&told)];
        let json = serde_json::json!({ "kind": "error", "chain": chain, "hint": tip, "exit_code": Exit::Usage.code() });
        talk(&json.to_string());
    } else {
        drop(error.print());
    }
    Exit::Usage
}

/// Returns whether a program reads along.
#[expect(clippy::disallowed_methods, reason = "the command line that would tell could not be read")]
fn wants_json() -> bool {
    let words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    words.windows(2).any(|pair| pair == ["--progress", "json"])
        || words.iter().any(|word| word == "--progress=json")
        || std::env::var("LAB_PROGRESS").is_ok_and(|mode| mode == "json")
}

#[expect(clippy::print_stderr, reason = "this is where talk goes")]
fn talk(line: &str) {
    eprintln!("{line}");
}
