import ExportCore
import KubernetesAPI
import Model

/// Changes of the gate as events. Pure.
enum EventForm {
    /// The event that tells of `change`. The same change makes the same name, so that it is told once.
    static func note(
        _ change: ExportGate.Transition, namespace: String, gate: String, holder: String
    ) -> EventNote {
        let isTrouble = change.to == .degraded || change.to == .halted
        let number = ExportGate.State.allCases.firstIndex(of: change.to) ?? 0
        // At most as long as a name may be: a Lease's is short, and the numbers have at most 16 digits each.
        let kind = change.isNews ? "\(number)n" : "\(number)"
        let name = "\(gate).\(change.term).\(String(change.wallMilliseconds, radix: 16)).\(kind)"
        let episode = change.episode.map { " (episode \($0.term).\($0.number))" } ?? ""
        return EventNote(
            namespace: namespace, name: name, regarding: .leases, regardingName: gate,
            reason: change.isNews ? "ExportTroubleChanged" : reason(change.to),
            action: change.isNews ? "Look" : action(change.to), isWarning: isTrouble, note: "\(change)\(episode)",
            time: Int64(clamping: change.wallMilliseconds) * 1_000, reportingInstance: holder)
    }

    private static func reason(_ state: ExportGate.State) -> String {
        switch state {
        case .unknown: "GateUnknown"
        case .open: "GateOpened"
        case .degraded: "ExportDegraded"
        case .halted: "GateHalted"
        case .recovering: "ExportRecovering"
        case .awaitingAcknowledgement: "AwaitingAcknowledgement"
        }
    }

    private static func action(_ state: ExportGate.State) -> String {
        switch state {
        case .unknown: "Look"
        case .open: "AdmitProbes"
        case .degraded: "RaiseAlert"
        case .halted: "HaltProbes"
        case .recovering: "Observe"
        case .awaitingAcknowledgement: "AskForAcknowledgement"
        }
    }
}
