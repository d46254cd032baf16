//! What `contrib/` says is so: as far as this machine can tell.

use std::process::Command;

use loadline_testkit::{left_out, workspace_root};

use crate::support::{LOADLINE, Sandbox};

fn read(name: &str) -> String {
    std::fs::read_to_string(workspace_root().join("contrib").join(name)).unwrap()
}

#[test]
fn the_unit_is_one_that_systemd_understands() {
    let sandbox = Sandbox::new();
    // With the binary under test in its place; files of a site are not here.
    let text = read("loadline-gate.service").replace("/usr/bin/loadline", LOADLINE);
    let unit =
        sandbox.write("loadline-gate.service", text.replace("EnvironmentFile=/", "EnvironmentFile=-/"));
    let output = match Command::new("systemd-analyze").arg("verify").arg(unit).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return left_out("systemd-analyze is not here: nobody reads the unit");
        }
        output => output.unwrap(),
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("loadline-gate.service:"), "{said}");
}

#[test]
fn the_commands_in_both_files_are_commands() {
    let sandbox = Sandbox::new();
    let container = read("Containerfile");
    let arrays = container
        .lines()
        .filter_map(|line| Some(&line[line.find('[')?..]).filter(|_| !line.starts_with('#')));
    let commands: Vec<Vec<String>> = arrays.map(|array| serde_json::from_str(array).unwrap()).collect();
    assert_eq!(commands.len(), 3, "health check, entry point, its arguments");
    let served = [&commands[1][..], &commands[2][..]].concat();
    let unit = read("loadline-gate.service");
    let in_unit = unit.lines().filter(|line| line.starts_with("Exec") && line.contains("loadline"));
    let in_unit = in_unit.map(|line| line.split_once('=').unwrap().1.split(' ').map(str::to_owned).collect());
    for command in in_unit.chain([commands[0].clone(), served]) {
        let command: Vec<String> = command;
        assert_eq!(command[0], "/usr/bin/loadline");
        // The words are understood: what is missing is the gate, not a flag.
        let said = sandbox.run_args(&command[1..]);
        assert!(matches!(said.code, 40 | 50), "{command:?}: {}", said.text());
    }
}
