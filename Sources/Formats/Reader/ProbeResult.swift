public import Model

/// A `SiderealProbeResult` as ranges of the bytes it was read from, checked against the resource's schema.
///
/// Only valid together with those bytes. Reused from record to record by ``ProbeResultReader``.
public struct ProbeResult: Sendable {
    // Not an InlineArray: the compiler copies those 372 bytes for every call a record is passed to.
    var fields = [JSONValue](repeating: .absent, count: Field.count)
    /// Members no field of ours has the name of, by parent and ascending key.
    public internal(set) var others: [JSONMember] = []
    var facts = RecordFacts()

    /// `spec.result.outcome`.
    public var outcome: Outcome { facts.outcome }
    /// `spec.result.controlEffectiveness`.
    public var effectiveness: Effectiveness { facts.effectiveness }
    /// `spec.result.integrityStatus`.
    public var integrity: Integrity { facts.integrity }
    /// `spec.audit.exportStatus`.
    public var exportStatus: ExportStatus { facts.exportStatus }
    /// `spec.execution.timestamp`.
    public var executedAt: Timestamp { facts.executedAt }
    /// The hash of `metadata.uid`, which decides the shard.
    public var uidHash: UIDHash { facts.uidHash }
    /// `spec.execution.durationMs`.
    public var durationMs: Int64 { facts.durationMs }

    /// Where a field lies.
    public subscript(field: Field) -> JSONValue {
        get { fields[field.rawValue] }
        set { fields[field.rawValue] = newValue }
    }

    mutating func reset() {
        var places = fields.mutableSpan
        for index in places.indices { unsafe places[unchecked: index] = .absent }
        if !others.isEmpty { others.removeAll(keepingCapacity: true) }
    }
}

/// What the fields with a closed set of values hold, found while they were checked.
struct RecordFacts {
    var outcome = Outcome.pass
    var effectiveness = Effectiveness.effective
    var integrity = Integrity.verified
    var exportStatus = ExportStatus.pending
    var executedAt = Timestamp(seconds: 0, nanoseconds: 0)
    var uidHash = UIDHash()
    var durationMs: Int64 = 0
}
