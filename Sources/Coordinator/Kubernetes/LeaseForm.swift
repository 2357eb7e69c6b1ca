import ExportCore
import KubernetesAPI
import Model

/// The leader's lease as a Lease, and back. Pure.
///
/// | in the Lease | is |
/// |---|---|
/// | `holderIdentity` | who leads; empty if it was given back |
/// | `leaseDurationSeconds` | for how long, rounded up; to the millisecond in `export.sidereal.cloud/lease-milliseconds` |
/// | `acquireTime`, `renewTime` | for people; nothing is decided by them |
/// | `leaseTransitions` | the term, as far as 32 bits go |
/// | `export.sidereal.cloud/term` | the term, which only grows |
/// | `export.sidereal.cloud/renewal` | grows with every write |
/// | `export.sidereal.cloud/address` | where workers reach the leader |
/// | `export.sidereal.cloud/endpoint` | where people reach its page |
enum LeaseForm {
    /// Before the name of each annotation of the exporter.
    static let prefix = "export.sidereal.cloud/"
    private static let term = prefix + "term"
    private static let renewal = prefix + "renewal"
    private static let address = prefix + "address"
    private static let endpoint = prefix + "endpoint"
    private static let milliseconds = prefix + "lease-milliseconds"
    /// In the gate's Lease: the highest term that anybody may have led in, should the leader's Lease be deleted.
    static let highestTerm = prefix + "highest-term"

    /// What a Lease says. What somebody else made of it is taken as far as it can be: who holds it is waited out.
    static func record(_ lease: Lease) -> LeaseRecord {
        let texts = lease.annotations
        let seconds = UInt64(clamping: lease.durationSeconds)
        let exact = number(texts[milliseconds])
        // Whoever edits the seconds means it.
        let duration = exact.flatMap { self.seconds($0) == seconds ? $0 : nil } ?? seconds * 1_000
        var record = LeaseRecord(
            holder: lease.holder, address: texts[address] ?? "",
            term: max(UInt64(clamping: lease.transitions), number(texts[term]) ?? 0),
            renewal: number(texts[renewal]) ?? 0, durationMilliseconds: duration)
        record.endpoint = texts[endpoint] ?? ""
        return record
    }

    /// Whether a Lease says of itself which term it is of. One that does not was made by somebody else.
    static func tellsTerm(_ lease: Lease) -> Bool { number(lease.annotations[term]) != nil }

    /// The highest term of which the gate's Lease has a trace.
    static func highestTerm(_ gate: Lease) -> UInt64 { number(gate.annotations[highestTerm]) ?? 0 }

    /// A Lease that says `record`, to replace the version `replacing`; nil: to be made.
    ///
    /// - Parameter acquired: whether its holder has just taken it.
    static func lease(
        _ record: LeaseRecord, namespace: String, name: String, replacing: LeaseVersion?, acquired: Bool,
        microseconds: Int64
    ) -> Lease {
        var lease = Lease(namespace: namespace, name: name)
        lease.resourceVersion = replacing?.text ?? ""
        lease.holder = record.holder
        lease.durationSeconds = Int(clamping: max(1, seconds(record.durationMilliseconds)))
        lease.transitions = transitions(record.term)
        lease.renewed = microseconds
        if acquired { lease.acquired = microseconds }
        lease.annotations = [
            term: "\(record.term)", renewal: "\(record.renewal)", address: record.address, endpoint: record.endpoint,
            milliseconds: "\(record.durationMilliseconds)",
        ]
        return lease
    }

    /// A term as `leaseTransitions`, which is an int32.
    static func transitions(_ term: UInt64) -> Int { Int(min(term, UInt64(Int32.max))) }

    private static func seconds(_ milliseconds: UInt64) -> UInt64 {
        milliseconds / 1_000 + (milliseconds % 1_000 > 0 ? 1 : 0)
    }

    /// A number of ours. Beyond the last term is nobody's.
    private static func number(_ text: String?) -> UInt64? {
        text.flatMap { UInt64($0) }.flatMap { $0 <= LeaderElection.maxTerm ? $0 : nil }
    }
}
