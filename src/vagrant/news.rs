//! What Vagrant says with `--machine-readable`: a line of `time,target,type,data…` for each piece of news.

use std::str::FromStr;

/// A piece of news. What only people read is kept as it is and never decided upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// The machine that it is about; `None` for all of them.
    pub machine: Option<String>,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// An action such as `up` began on a machine.
    Began {
        action: String,
    },
    /// It ended well; one that fails has no end.
    Ended {
        action: String,
    },
    /// A message for people.
    Said {
        text: String,
    },
    /// A message for people that tells of something wrong.
    Complained {
        text: String,
    },
    /// Why the whole command ends, by the class of Vagrant's error.
    Failed {
        class: String,
        text: String,
    },
    State {
        state: String,
    },
    SshConfig {
        text: String,
    },
}

impl FromStr for News {
    type Err = NotNews;

    fn from_str(line: &str) -> Result<Self, NotNews> {
        let mut fields = line.trim_end_matches(['\r', '\n']).split(',');
        let time = fields.next().ok_or(NotNews)?;
        if time.is_empty() || !time.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NotNews);
        }
        let machine = fields.next().ok_or(NotNews)?;
        let kind = fields.next().ok_or(NotNews)?;
        let data: Vec<String> = fields.map(unescape).collect();
        let machine = (!machine.is_empty()).then(|| machine.to_owned());
        what(kind, &data, machine.as_deref().unwrap_or_default())
            .map(|what| Self { machine, what })
            .ok_or(NotNews)
    }
}

/// A line that is no news: Ruby's own warnings, or of a kind that nobody here wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a line of Vagrant's machine-readable output")]
pub struct NotNews;

fn what(kind: &str, data: &[String], machine: &str) -> Option<What> {
    let field = |index: usize| data.get(index).cloned();
    Some(match kind {
        "action" => match data.get(1)?.as_str() {
            "start" => What::Began { action: field(0)? },
            "end" => What::Ended { action: field(0)? },
            _ => return None,
        },
        "ui" => {
            let text = plain(&field(1)?, machine);
            let is_bad = matches!(data[0].as_str(), "error" | "warn");
            if is_bad { What::Complained { text } } else { What::Said { text } }
        }
        "error-exit" => What::Failed { class: field(0)?, text: field(1)? },
        "state" => What::State { state: field(0)? },
        "ssh-config" => What::SshConfig { text: field(0)? },
        _ => return None,
    })
}

fn unescape(field: &str) -> String {
    field.replace("%!(VAGRANT_COMMA)", ",").replace("\\n", "\n").replace("\\r", "\r")
}

/// Takes off what Vagrant puts before each line to say whose it is: the news says that already.
fn plain(text: &str, machine: &str) -> String {
    let strip = |line: &str| {
        let line = line.trim();
        let line = line.strip_prefix("==> ").unwrap_or(line);
        let own = line.strip_prefix(machine).and_then(|rest| rest.strip_prefix(": "));
        own.unwrap_or(line).trim().to_owned()
    };
    let lines: Vec<String> = text.lines().map(strip).filter(|line| !line.is_empty()).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, machine: &str, what: What) {
        let machine = (!machine.is_empty()).then(|| machine.to_owned());
        assert_eq!(line.parse(), Ok(News { machine, what }));
    }

    #[test]
    fn each_kind_of_line_is_understood() {
        let up = || "up".to_owned();
        check("1795216238,n2,action,up,start", "n2", What::Began { action: up() });
        check("1795216246,n2,action,up,end\r\n", "n2", What::Ended { action: up() });
        check(
            "1795216239,n2,ui,output,==> n2: Creating the container...",
            "n2",
            What::Said { text: "Creating the container...".to_owned() },
        );
        check(
            "1795216239,n2,ui,detail,    n2: SSH address: 127.0.0.1:2222",
            "n2",
            What::Said { text: "SSH address: 127.0.0.1:2222".to_owned() },
        );
        check("1,,ui,error,a%!(VAGRANT_COMMA) b\\n\\nc", "", What::Complained { text: "a, b\nc".to_owned() });
        check(
            "1,,error-exit,Vagrant::Errors::MachineActionLockedError,An action 'up'\\nwas",
            "",
            What::Failed {
                class: "Vagrant::Errors::MachineActionLockedError".to_owned(),
                text: "An action 'up'\nwas".to_owned(),
            },
        );
        check("1,n1,state,running", "n1", What::State { state: "running".to_owned() });
    }

    #[test]
    fn what_is_no_news_is_told_apart() {
        for line in
            ["", "warning: x", "1,n1", "x,n1,state,running", "1,n1,metadata,provider,docker", "1,,action,up"]
        {
            assert_eq!(line.parse::<News>(), Err(NotNews), "{line}");
        }
    }
}
