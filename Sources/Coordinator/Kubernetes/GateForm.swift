import ExportCore
import KubernetesAPI

/// The gate's record as a Lease, and back. Pure. Holder, duration and time of the renewal are all that the admission policy looks
/// at; the rest lies in annotations (``GateRecord/annotations``).
enum GateForm {
    /// Longest text in an annotation, bytes. Reasons hold words of receivers.
    static let maxTextBytes = 2_000

    /// What a Lease says; nil if nobody has written a gate's record into it. What somebody else made of one counts as the oldest.
    static func record(_ lease: Lease) -> GateRecord? {
        var record = GateRecord(
            holder: lease.holder, durationSeconds: UInt32(clamping: lease.durationSeconds),
            annotations: lease.annotations)
        guard record.isOpen || record.version > GateRecord.Version(term: 0, sequence: 0) else { return nil }
        record.renewed = lease.renewed.flatMap { $0 >= 0 ? UInt64($0) / 1_000 : nil }
        return record
    }

    /// A Lease that says `record`, to replace `there`; nil: to be made. A closed gate keeps the time at which it was renewed last.
    static func lease(
        _ record: GateRecord, replacing there: Lease?, namespace: String, name: String, microseconds: Int64
    ) -> Lease {
        var lease = there ?? Lease(namespace: namespace, name: name)
        let before = lease.annotations
        lease.annotations = record.annotations.mapValues { TextCut.prefix($0, bytes: maxTextBytes) }
        lease.dropped = Set(
            before.keys.filter {
                $0.hasPrefix(LeaseForm.prefix) && $0 != LeaseForm.highestTerm && lease.annotations[$0] == nil
            })
        // The trace of the leaders' terms was in the one that is gone.
        if there == nil { lease.annotations[LeaseForm.highestTerm] = "\(record.version.term)" }
        if record.isOpen {
            if record.holder != there?.holder { lease.acquired = microseconds }
            lease.renewed = microseconds
        }
        lease.holder = record.holder
        lease.durationSeconds = Int(record.durationSeconds)
        lease.transitions = max(lease.transitions, LeaseForm.transitions(record.version.term))
        return lease
    }
}

/// Makes texts fit.
enum TextCut {
    /// Whole characters from the beginning, at most `bytes` of UTF-8.
    static func prefix(_ text: String, bytes: Int) -> String {
        guard text.utf8.count > bytes else { return text }
        var (end, count) = (text.startIndex, 0)
        while end < text.endIndex {
            count += text[end].utf8.count
            if count > bytes { break }
            end = text.index(after: end)
        }
        return String(text[..<end])
    }
}
