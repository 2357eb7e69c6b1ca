internal import Model

/// Batches in flight. Like all of the store: on the ledger's thread only.
///
/// A batch is kept from its departure until its stretches are settled, so there are as many as there are permits. What
/// is left of inputs that never come back is bounded by ``maxFlights`` for each target: what one leaves behind takes no
/// other's room.
extension LedgerStore {
    /// Batches of a target that are kept; the oldest go first, which costs a repetition and no record.
    static var maxFlights: Int64 { 16_384 }
    /// Departures of a target after which it is looked at whether it has more, so there may be as many more meanwhile.
    static var departuresPerLook: Int { 1_024 }

    /// Looks at every row, as a flipped bit in a number could pass for an acknowledgement.
    func loadFlights() throws(LedgerError) {
        var (targets, next) = ([String: Int](), Int64(0))
        let path = connection.path
        try statements.allInFlight.each([]) { (row: Statement) throws(LedgerError) in
            _ = try Self.stretch(row, path)
            // Its first departure looks: however short processes live, nothing piles up.
            targets[row.text(1)] = Self.departuresPerLook
            next = row.integer(0) + 1
        }
        (flying, nextFlight) = (targets, next)
    }

    func flights(target: String) throws(LedgerError) -> [BatchInFlight] {
        var found: [BatchInFlight] = []
        var last: Int64?
        let path = connection.path
        try statements.inFlight.each([.text(target)]) { (row: Statement) throws(LedgerError) in
            let stretch = try Self.stretch(row, path)
            if last == row.integer(0) {
                found[found.count - 1].stretches.append(stretch)
            } else {
                found.append(
                    BatchInFlight(stretches: [stretch], receipt: Self.receipt(row), sentAt: row.integer(7)))
            }
            last = row.integer(0)
        }
        return found
    }

    func depart(_ target: String, _ batch: BatchInFlight) throws(LedgerError) {
        let name = Value.text(target)
        let number = nextFlight
        for (part, stretch) in batch.stretches.enumerated() {
            let place = (
                source: stretch.source, start: Int64(clamping: stretch.range.lowerBound),
                end: Int64(clamping: stretch.range.upperBound)
            )
            let key: [Value] = [name, .integer(place.source), .integer(place.start), .integer(place.end)]
            // Its own parts do not overlap, unless an input stands in it twice: then the later part counts.
            if flying[target] != nil { try statements.dropInFlightThere.run(key) }
            let sum = RowSum.inFlight(target, place, batch.receipt)
            try statements.addInFlight.run(
                [.integer(number), .integer(Int64(part))] + key + [
                    .text(batch.receipt?.channel ?? ""), .integer(batch.receipt?.id ?? -1), .integer(batch.sentAt),
                    .integer(sum),
                ])
        }
        nextFlight = number + 1
        let departures = flying[target, default: 0] + 1
        flying[target] = departures < Self.departuresPerLook ? departures : 0
        if departures >= Self.departuresPerLook {
            try statements.dropInFlightBeyond.run([name, .integer(Self.maxFlights)])
        }
    }

    /// Forgets what lies wholly within a settled interval.
    func land(_ target: String, _ source: SourceID, _ interval: Range<UInt64>) throws(LedgerError) {
        guard flying[target] != nil else { return }
        try statements.dropInFlightSettled.run([
            .text(target), .integer(source.rawValue), .integer(Int64(clamping: interval.lowerBound)),
            .integer(Int64(clamping: interval.upperBound)),
        ])
    }

    private static func receipt(_ row: Statement) -> Receipt? {
        row.integer(6) < 0 ? nil : Receipt(channel: row.text(5), id: row.integer(6))
    }

    private static func stretch(_ row: Statement, _ path: String) throws(LedgerError) -> BatchInFlight.Stretch {
        let place = (source: row.integer(2), start: row.integer(3), end: row.integer(4))
        guard RowSum.inFlight(row.text(1), place, receipt(row)) == row.integer(8), place.start >= 0,
            place.start < place.end
        else {
            throw .corrupt(path, "the checksum of batch \(row.integer(0)) in flight to '\(row.text(1))' is wrong")
        }
        return BatchInFlight.Stretch(source: place.source, range: UInt64(place.start)..<UInt64(place.end))
    }
}
