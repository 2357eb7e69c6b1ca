public import Model

/// A `SiderealProbeResult` as ranges of the bytes it was read from, checked against the resource's schema.
///
/// Only valid together with those bytes. Reused from record to record by ``ProbeResultReader``.
public struct ProbeResult: Sendable {
    // Not an InlineArray: the compiler copies those 372 bytes for every call a record is passed to.
    var fields = [JSONValue](repeating: .absent, count: Field.allCases.count)
    /// Members no field of ours has the name of, by parent and ascending key.
    public internal(set) var others: [JSONMember] = []
    /// `spec.result.outcome`.
    public internal(set) var outcome = Outcome.pass
    /// `spec.result.controlEffectiveness`.
    public internal(set) var effectiveness = Effectiveness.effective
    /// `spec.result.integrityStatus`.
    public internal(set) var integrity = Integrity.verified
    /// `spec.audit.exportStatus`.
    public internal(set) var exportStatus = ExportStatus.pending
    /// `spec.execution.timestamp`.
    public internal(set) var executedAt = Timestamp(seconds: 0, nanoseconds: 0)
    /// The hash of `metadata.uid`, which decides the shard.
    public internal(set) var uidHash = UIDHash()
    /// `spec.execution.durationMs`.
    public internal(set) var durationMs: Int64 = 0

    /// Where a field lies.
    public subscript(field: Field) -> JSONValue {
        get { fields[field.rawValue] }
        set { fields[field.rawValue] = newValue }
    }

    mutating func reset() {
        for index in fields.indices { fields[index] = .absent }
        others.removeAll(keepingCapacity: true)
    }
}
