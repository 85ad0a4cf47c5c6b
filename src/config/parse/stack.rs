//! Reads the text of a `stack.toml`, and what in it contradicts itself.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Reader, whole};
use crate::config::limits::{self, Refused};
use crate::config::problem::Problems;
use crate::config::stack_file::{
    EndpointTable, ONE_CHECK, ONE_ENDPOINT, ONE_ROLE, ONE_UNIT, RoleTable, STACK_KEYS, StackFile, UnitTable,
};
use crate::model::{Ask, Check, RoleName, Size, Statuses};

/// Parses the text of a `stack.toml`; `path` is only what problems are told with.
pub fn parse_stack(text: &str, path: &Utf8Path) -> Result<StackFile, Problems> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (root, errors) = DeTable::parse_recoverable(text);
    let root = root.into_inner();
    let mut reader = Reader { path, text, keys: &STACK_KEYS, problems: Vec::new() };
    let file = reader.stack(&root);
    if errors.is_empty() {
        reader.check_stack(&root, &file);
    }
    reader.add_errors(&errors);
    Problems::check(reader.problems)?;
    Ok(file)
}

type Table<'t, 'i> = (&'t DeTable<'i>, usize);

impl Reader<'_> {
    fn stack(&mut self, root: &DeTable<'_>) -> StackFile {
        self.check_keys(root, "");
        StackFile {
            description: self.required(root, 0..0, "description", limits::sentence).unwrap_or_default(),
            env: self.variables(root),
            roles: self.roles(root),
            images: self.images(root),
            units: self.list(root, ONE_UNIT).into_iter().map(|table| self.unit(table)).collect(),
            endpoints: self.list(root, ONE_ENDPOINT).into_iter().map(|table| self.endpoint(table)).collect(),
        }
    }

    /// Reads a text that has to be there.
    fn required<T>(
        &mut self,
        table: &DeTable<'_>,
        home: std::ops::Range<usize>,
        key: &str,
        check: impl Fn(&str) -> Result<T, Refused>,
    ) -> Option<T> {
        if !table.contains_key(key) {
            self.add(home, &format!("`{key}` is missing"), None);
        }
        self.string(table, key, check)
    }

    fn variables(&mut self, root: &DeTable<'_>) -> BTreeMap<String, String> {
        let Some(table) = self.typed(root, "env", "a table", DeValue::as_table) else {
            return BTreeMap::new();
        };
        let mut read = BTreeMap::new();
        for (key, _) in table {
            let name = key.get_ref().as_ref();
            if let Err(refused) = limits::variable(name) {
                self.add(key.span(), &refused.to_string(), None);
            }
            read.extend(
                self.string(table, name, limits::variable_value).map(|value| (name.to_owned(), value)),
            );
        }
        read
    }

    fn roles(&mut self, root: &DeTable<'_>) -> Vec<(RoleName, RoleTable)> {
        let Some(tables) = self.typed(root, "roles", "a table", DeValue::as_table) else { return Vec::new() };
        let mut roles = Vec::new();
        for (key, value) in tables {
            let name = key.get_ref().as_ref();
            let Some(table) = self.typed(tables, name, "a table", DeValue::as_table) else { continue };
            self.check_keys(table, ONE_ROLE);
            let role = RoleTable {
                nodes: self.size(table, value.span()).unwrap_or(Size::All),
                demands: self
                    .typed(table, "where", "a table", DeValue::as_table)
                    .map_or_else(Default::default, |pairs| self.pairs(pairs)),
                metadata: self
                    .typed(table, "metadata", "a table", DeValue::as_table)
                    .map(|pairs| self.pairs(pairs)),
                needs: self.names(table, "needs", limits::role),
                port: self.whole(table, "port", limits::port),
            };
            match limits::role(name) {
                Err(refused) => self.add(key.span(), &refused.to_string(), None),
                Ok(name) => roles.push((name, role)),
            }
        }
        // In the order of the file, which is the one that people have in mind.
        let place = |name: &RoleName| tables.get_key_value(name.as_str()).map(|(key, _)| key.span().start);
        roles.sort_by_key(|(name, _)| place(name));
        roles
    }

    fn size(&mut self, table: &DeTable<'_>, home: std::ops::Range<usize>) -> Option<Size> {
        let Some(value) = table.get("nodes") else {
            self.add(home, "`nodes` is missing: a number, \"all\" or \"odd\"", None);
            return None;
        };
        match (value.get_ref(), whole(value.get_ref())) {
            (_, Some(count)) => {
                self.whole(table, "nodes", limits::nodes).map(Size::Exactly).filter(|_| count > 0)
            }
            (DeValue::String(text), _) if text == "all" => Some(Size::All),
            (DeValue::String(text), _) if text == "odd" => Some(Size::Odd),
            _ => {
                self.add(value.span(), "`nodes` must be a number, \"all\" or \"odd\"", None);
                None
            }
        }
    }

    fn unit(&mut self, (table, at): Table<'_, '_>) -> UnitTable {
        self.check_keys(table, ONE_UNIT);
        if table.contains_key("role") && table.contains_key("instances") {
            self.add_at(table, "instances", "`instances` cannot stand beside `role`, which says how many");
        }
        UnitTable {
            name: self.required(table, at..at, "name", limits::word).unwrap_or_default(),
            role: self.string(table, "role", limits::role),
            instances: self.whole(table, "instances", limits::instances),
            images: self.names(table, "images", limits::image_key),
            ports: self.items(table, "ports", "a list of numbers", |value| whole(value).map(limits::port)),
            reads: self.names(table, "reads", limits::role),
            check: self.check(table, "check"),
            leader: self.check(table, "leader"),
            line: self.line(at),
        }
    }

    fn endpoint(&mut self, (table, at): Table<'_, '_>) -> EndpointTable {
        self.check_keys(table, ONE_ENDPOINT);
        if !table.contains_key("port") {
            self.add(at..at, "`port` is missing", None);
        }
        let scheme = self.string(table, "scheme", limits::scheme).unwrap_or_else(|| "http".to_owned());
        let usual = if scheme.starts_with("http") { "/" } else { "" };
        EndpointTable {
            name: self.required(table, at..at, "name", limits::endpoint).unwrap_or_default(),
            unit: self.required(table, at..at, "unit", limits::word).unwrap_or_default(),
            port: self.whole(table, "port", limits::port).unwrap_or_default(),
            path: self.string(table, "path", limits::url_path).unwrap_or_else(|| usual.to_owned()),
            leader: self.typed(table, "leader", "true or false", DeValue::as_bool).unwrap_or_default(),
            check: self.check(table, "check"),
            line: self.line(at),
            scheme,
        }
    }

    fn check(&mut self, table: &DeTable<'_>, key: &str) -> Option<Check> {
        let check = self.typed(table, key, "a table", DeValue::as_table)?;
        self.check_keys(check, ONE_CHECK);
        let home = table.get(key).map(Spanned::span).unwrap_or_default();
        let given: Vec<&str> =
            ["http", "send", "run"].into_iter().filter(|key| check.contains_key(*key)).collect();
        if let [first, second, ..] = given[..] {
            self.add_at(
                check,
                second,
                &format!("`{second}` cannot stand beside `{first}`: a check asks one thing"),
            );
        }
        if check.contains_key("status") && given != ["http"] {
            self.add_at(check, "status", "`status` means nothing without `http`");
        }
        let port = self.whole(check, "port", limits::port);
        match (given.first(), check.contains_key("port")) {
            (Some(&"run"), true) => self.add_at(check, "port", "`port` means nothing with `run`"),
            (Some(&"run"), false) | (_, true) => {}
            (_, false) => self.add(home.clone(), "a check has to say `port`, or a command to `run`", None),
        }
        let answer = self.string(check, "answer", limits::text);
        if answer.is_some() && given.is_empty() {
            self.add_at(
                check,
                "answer",
                "`answer` goes with `http`, `send` or `run`: nothing else is answered",
            );
        }
        let status = self.whole(check, "status", limits::status);
        let status = status.map_or(Statuses::GOOD, |status| Statuses { from: status, to: status });
        let path = self.string(check, "http", limits::url_path);
        let sent = self.string(check, "send", limits::text);
        let command = self.string(check, "run", limits::text);
        let ask = match (path, sent, command, port) {
            (Some(path), _, _, Some(port)) => Ask::Http { port, path, status },
            (_, Some(text), _, Some(port)) => Ask::Send { port, text },
            (_, _, Some(command), _) => Ask::Run { command },
            (None, None, None, Some(port)) => Ask::Connect { port },
            _ => return None,
        };
        Some(Check { ask, answer })
    }

    /// Returns the tables of a list, each with its place.
    fn list<'t, 'i>(&mut self, root: &'t DeTable<'i>, key: &str) -> Vec<Table<'t, 'i>> {
        let wanted = format!("tables, each below `[[{key}]]`");
        let Some(items) = self.typed(root, key, &wanted, DeValue::as_array) else { return Vec::new() };
        let mut tables = Vec::new();
        for item in items {
            match item.get_ref() {
                DeValue::Table(table) => tables.push((table, item.span().start)),
                _ => self.add(item.span(), &format!("`{key}` must be {wanted}"), None),
            }
        }
        tables
    }

    fn names<T: Ord>(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        check: impl Fn(&str) -> Result<T, Refused>,
    ) -> BTreeSet<T> {
        self.items(table, key, "a list of names in quotes", |value| value.as_str().map(&check))
    }

    fn items<T: Ord>(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        wanted: &str,
        read: impl Fn(&DeValue<'_>) -> Option<Result<T, Refused>>,
    ) -> BTreeSet<T> {
        let Some(items) = self.typed(table, key, wanted, DeValue::as_array) else { return BTreeSet::new() };
        let mut found = BTreeSet::new();
        for item in items {
            match read(item.get_ref()) {
                Some(Ok(value)) => drop(found.insert(value)),
                Some(Err(refused)) => self.add(item.span(), &format!("`{key}`: {refused}"), None),
                None => self.add(item.span(), &format!("`{key}` must be {wanted}"), None),
            }
        }
        found
    }

    fn line(&self, at: usize) -> usize {
        self.text.get(..at).unwrap_or_default().matches('\n').count() + 1
    }

    /// Reads `stack` of a lab.toml: one name, or a list of them.
    pub(super) fn stacks(&mut self, root: &DeTable<'_>) -> Option<Vec<String>> {
        let value = root.get("stack")?;
        match value.get_ref() {
            DeValue::Array(items) => {
                let mut names = Vec::new();
                for item in items {
                    match item.get_ref().as_str().map(limits::stack) {
                        Some(Ok(name)) => names.push(name),
                        Some(Err(refused)) => self.add(item.span(), &format!("`stack`: {refused}"), None),
                        None => self.add(item.span(), "`stack` must be a list of names in quotes", None),
                    }
                }
                Some(names)
            }
            _ => self.string(root, "stack", limits::stack).map(|name| vec![name]),
        }
    }

    /// Tells what leads nowhere within the file. Whether units have files, and roles find nodes, is found elsewhere.
    fn check_stack(&mut self, root: &DeTable<'_>, file: &StackFile) {
        let known = |name: &RoleName| file.roles.iter().any(|(role, _)| role == name);
        let mut lost: Vec<(std::ops::Range<usize>, String)> = Vec::new();
        let tables = root.get("roles").and_then(|roles| roles.get_ref().as_table());
        for (name, role) in &file.roles {
            let span =
                tables.and_then(|tables| tables.get_key_value(name.as_str())).map(|(key, _)| key.span());
            let mut tell = |text: String| lost.push((span.clone().unwrap_or_default(), text));
            for need in role.needs.iter().filter(|need| !known(need)) {
                tell(format!("`{name}` needs `{need}`, which is no role of this stack"));
            }
            if let Some(way) = circle(file, name) {
                tell(format!("`{name}` would wait for itself: {way}"));
            }
        }
        let spans = |key: &str| -> Vec<std::ops::Range<usize>> {
            let items = root.get(key).and_then(|value| value.get_ref().as_array());
            items.map(|items| items.iter().map(Spanned::span).collect()).unwrap_or_default()
        };
        for (unit, span) in file.units.iter().zip(spans(ONE_UNIT)) {
            let place = span.start..span.start;
            for role in unit.role.iter().chain(&unit.reads).filter(|role| !known(role)) {
                lost.push((
                    place.clone(),
                    format!("`{}` names `{role}`, which is no role of this stack", unit.name),
                ));
            }
        }
        for (endpoint, span) in file.endpoints.iter().zip(spans(ONE_ENDPOINT)) {
            let place = span.start..span.start;
            if file.endpoints.iter().filter(|other| other.name == endpoint.name).count() > 1 {
                lost.push((place.clone(), format!("`{}` names several endpoints", endpoint.name)));
            }
            match file.units.iter().find(|unit| stem(&unit.name) == stem(&endpoint.unit)) {
                None => lost.push((place, format!("`{}` is no unit of this stack", endpoint.unit))),
                Some(unit) if endpoint.leader && unit.leader.is_none() => {
                    lost.push((
                        place,
                        format!("nothing tells which `{}` leads: it has no `leader`", unit.name),
                    ));
                }
                Some(_) => {}
            }
        }
        for (span, message) in lost {
            self.add(span, &message, None);
        }
    }
}

/// Returns a unit's name as people shorten it.
fn stem(name: &str) -> &str {
    name.strip_suffix(".service").unwrap_or(name)
}

/// Returns the way by which a role needs itself, if there is one.
fn circle(file: &StackFile, start: &RoleName) -> Option<String> {
    let needs =
        |name: &RoleName| file.roles.iter().find(|(role, _)| role == name).map(|(_, role)| &role.needs);
    let mut ways: Vec<Vec<&RoleName>> = vec![vec![start]];
    let mut seen: BTreeSet<&RoleName> = BTreeSet::new();
    while let Some(way) = ways.pop() {
        for next in way.last().and_then(|last| needs(last)).into_iter().flatten() {
            if next == start {
                let names: Vec<&str> = way.iter().chain([&start]).map(|name| name.as_str()).collect();
                return Some(names.join(" needs "));
            }
            if seen.insert(next) {
                ways.push([way.clone(), vec![next]].concat());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, first_line: &str) {
        let text = format!("description = \"d\"\n{text}");
        let told = parse_stack(&text, Utf8Path::new("stack.toml")).unwrap_err().to_string();
        assert_eq!(told.lines().next(), Some(format!("stack.toml:{first_line}").as_str()), "{told}");
    }

    #[test]
    fn a_whole_stack_is_read() {
        let text = "description = \"Web and its store.\"\n[env]\nWEB_COLOUR = \"blue\"\n\
            [roles.store]\nnodes = \"odd\"\nport = 2181\nwhere = { disk = \"ssd\" }\n\
            [roles.agent]\nnodes = 2\nneeds = [\"store\"]\nmetadata = { agent = \"yes\" }\n\
            [images.store]\nbuild = \"image\"\n\
            [[units]]\nname = \"store@\"\nrole = \"store\"\nimages = [\"store\"]\nports = [2181, 2888]\n\
            check = { port = 2181, send = \"srvr\", answer = \"Mode: \" }\n\
            leader = { port = 8080, http = \"/leader\", status = 200 }\n\
            [[units]]\nname = \"web\"\nreads = [\"agent\"]\ncheck = { run = \"true\" }\n\
            [[endpoints]]\nname = \"web\"\nunit = \"web.service\"\nport = 80\n\
            [[endpoints]]\nname = \"store\"\nunit = \"store@\"\nport = 2181\nscheme = \"tcp\"\nleader = true\n";
        let file =
            parse_stack(text, Utf8Path::new("stack.toml")).unwrap_or_else(|problems| panic!("{problems}"));
        insta::assert_debug_snapshot!(file);
    }

    #[test]
    fn each_mistake_is_told_with_its_place() {
        check("[rolls.a]", "2:2: unknown key `rolls`; did you mean `roles`?");
        check("[roles.a]", "2:1: `nodes` is missing: a number, \"all\" or \"odd\"");
        check("[roles.a]\nnodes = \"some\"", "3:9: `nodes` must be a number, \"all\" or \"odd\"");
        check("[roles.a]\nnodes = 0", "3:9: `nodes`: 0 is not between 1 and 200");
        check("[roles.a]\nnodes = 1\nneeds = [\"b\"]", "2:8: `a` needs `b`, which is no role of this stack");
        check(
            "[roles.a]\nnodes = 1\nneeds = [\"b\"]\n[roles.b]\nnodes = 1\nneeds = [\"a\"]",
            "2:8: `a` would wait for itself: a needs b needs a",
        );
        check("[env]\nLAB_X = \"1\"", "3:1: `LAB_X` is lab's own: take a name that does not begin with LAB_");
        check(
            "[env]\nX = \"a'b\"",
            "3:5: `X`: quotes, backslashes and control characters may not stand in `a'b`",
        );
        check("[[units]]\nrole = \"a\"", "2:1: `name` is missing");
        check("[[units]]\nname = \"a\"\nrole = \"x\"", "2:1: `a` names `x`, which is no role of this stack");
        check("[[units]]\nname = \"a\"\nports = [\"x\"]", "4:10: `ports` must be a list of numbers");
        check("[[units]]\nname = \"a\"\nports = [0]", "4:10: `ports`: 0 is not between 1 and 65535");
        check("units = 3", "2:9: `units` must be tables, each below `[[units]]`, not a number");
        check("[[units]]\nname = \"a\"\ncheck = {}", "4:9: a check has to say `port`, or a command to `run`");
        check(
            "[[units]]\nname = \"a\"\ncheck = { port = 1, http = \"/\", send = \"x\" }",
            "4:33: `send` cannot stand beside `http`: a check asks one thing",
        );
        check(
            "[[units]]\nname = \"a\"\ncheck = { port = 1, answer = \"x\" }",
            "4:21: `answer` goes with `http`, `send` or `run`: nothing else is answered",
        );
        check("[[endpoints]]\nname = \"a\"\nunit = \"b\"\nport = 1", "2:1: `b` is no unit of this stack");
        check(
            "[[units]]\nname = \"b\"\n[[endpoints]]\nname = \"a\"\nunit = \"b\"\nport = 1\nleader = true",
            "4:1: nothing tells which `b` leads: it has no `leader`",
        );
        let told = parse_stack("", Utf8Path::new("stack.toml")).unwrap_err().to_string();
        assert!(told.starts_with("stack.toml:1:1: `description` is missing"), "{told}");
    }
}
