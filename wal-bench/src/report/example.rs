//! Results for the tests of the renderers, with everything in them that could go wrong.

use crate::machine::Machine;
use crate::results::{Axis, Figure, Line, Mark, Plot, Results, Row, Scale, Span};

pub(crate) fn results() -> Results {
    let machine = Machine {
        cpu: "AMD <EPYC> & \"co\"".to_owned(),
        cpus: 2,
        memory: "25 GB".to_owned(),
        kernel: "6.1".to_owned(),
        file_system: "ext4 on /dev/x".to_owned(),
        directory: "/tmp".to_owned(),
        commit: "abc".to_owned(),
        is_dirty: true,
    };
    let figure = |scenario: &str, row| Figure { scenario: scenario.to_owned(), row };
    Results {
        title: "Example".to_owned(),
        machine,
        settings: vec!["entries: key 16 bytes, value 100 bytes".to_owned()],
        figures: vec![
            figure("append", Row::beside("append, burst", 14.0, 50.0, "ns").aim("burst")),
            figure("latency", Row::alone("one append: p99.99", 20_000.0, "ns").aim("p99.99")),
            figure("cores", Row::beside("two cores", 20.0, 11.0, "M entries/s")),
        ],
        plots: vec![latency(), timeline()],
    }
}

fn latency() -> Plot {
    let points = [(0.0, 12.0), (0.5, 14.0), (0.9, 20.0), (0.999, 180.0), (0.9999, 9_000.0)];
    let line = |name: &str, times: f64| Line {
        name: name.to_owned(),
        points: points.iter().map(|(part, ns)| (*part, ns * times)).collect(),
    };
    Plot {
        title: "Latency of one append".to_owned(),
        note: "2 M appends each".to_owned(),
        x: Axis::new("percentile", Scale::Nines),
        y: Axis::new("ns", Scale::Log),
        lines: vec![line("log", 1.0), line("<yardstick>", 3.0)],
        spans: Vec::new(),
        marks: vec![Mark { name: "aim: <200 ns>".to_owned(), at: (0.999, 200.0) }],
    }
}

fn timeline() -> Plot {
    Plot {
        title: "Appends & a checkpoint".to_owned(),
        note: String::new(),
        x: Axis::new("time, ms", Scale::Linear),
        y: Axis::new("M entries/s", Scale::Linear),
        lines: vec![Line { name: "core 1".to_owned(), points: vec![(0.0, 1.0), (50.0, 0.5), (100.0, 1.1)] }],
        spans: vec![Span { name: "checkpoint".to_owned(), from: 20.0, to: 70.0 }],
        marks: Vec::new(),
    }
}
