//! The entries about what a node uses, and what it runs short of.

use serde_json::{Value, json};

use crate::envelope::{Entry, Level, measured};
use crate::squall::recorder::events::{ResourceKind, ResourceWarning, SystemUsage};

const MIB: f64 = 1024.0 * 1024.0;

/// The processor.
pub fn cpu(usage: &SystemUsage) -> Entry {
    Entry::metrics(
        "system.metric.cpu",
        json!({
            "value": measured(usage.cpu_percent),
            "unit": "percent",
            "cores": usage.cores,
            "machine_percent": measured(usage.machine_cpu_percent),
        }),
    )
}

/// The memory, and the bytes that this process's requests sent and received.
pub fn memory_and_network(usage: &SystemUsage) -> [Entry; 3] {
    let memory = Entry::metrics(
        "system.metric.mem",
        json!({
            "value": measured(usage.memory_bytes as f64 / MIB),
            "unit": "MiB",
            "value_bytes": usage.memory_bytes,
            "machine_bytes": usage.machine_memory_bytes,
        }),
    );
    let network = |direction, bytes, machine_bytes| {
        Entry::metrics(
            "system.metric.network",
            json!({
                "value": bytes,
                "unit": "bytes",
                "direction": direction,
                "machine_bytes": machine_bytes,
            }),
        )
    };
    [
        memory,
        network("sent", usage.requests_sent_bytes, usage.network_sent_bytes),
        network(
            "recv",
            usage.requests_received_bytes,
            usage.network_received_bytes,
        ),
    ]
}

pub fn warning(warning: &ResourceWarning) -> Entry {
    let name = match warning.resource {
        ResourceKind::Cpu => "event.cpu.warning",
        ResourceKind::Memory => "event.memory.warning",
        ResourceKind::OpenFiles => "event.open_files.warning",
        ResourceKind::Other => "event.resource.warning",
    };
    Entry::event(name, shortage(warning)).at(Level::Warning)
}

pub fn recovered(warning: &ResourceWarning) -> Entry {
    let name = match warning.resource {
        ResourceKind::Cpu => "event.cpu.recovered",
        ResourceKind::Memory => "event.memory.recovered",
        ResourceKind::OpenFiles => "event.open_files.recovered",
        ResourceKind::Other => "event.resource.recovered",
    };
    Entry::event(name, shortage(warning))
}

fn shortage(warning: &ResourceWarning) -> Value {
    let unit = match warning.resource {
        ResourceKind::Cpu => "percent",
        ResourceKind::Memory => "bytes",
        ResourceKind::OpenFiles => "files",
        ResourceKind::Other => "1",
    };
    json!({
        "value": measured(warning.value),
        "unit": unit,
        "limit": measured(warning.limit),
    })
}
