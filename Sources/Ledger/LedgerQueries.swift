internal import Model

/// Reading, and the sources. Like all of the store: on the ledger's thread only.
extension LedgerStore {
    func knownSources(path: String) throws(LedgerError) -> [KnownSource] {
        var found: [KnownSource] = []
        try statements.sourcesOfPath.each([.text(path)]) { (row: Statement) throws(LedgerError) in
            let identity = SourceIdentity(
                path: row.text(1), fingerprint: row.blob(2), fingerprintLength: Int(row.integer(3)))
            found.append(
                KnownSource(
                    id: SourceID(rawValue: row.integer(0)), identity: identity, isFinished: row.integer(4) != 0))
        }
        return found
    }

    func addSource(_ identity: SourceIdentity) throws(LedgerError) -> SourceID {
        let values: [Value] = [
            .text(identity.path), .blob(identity.fingerprint), .integer(Int64(identity.fingerprintLength)),
        ]
        try connection.transaction { () throws(LedgerError) in
            try statements.addSource.run(values)
        }
        var id: Int64 = 0
        try statements.findSource.each(values) { (row: Statement) throws(LedgerError) in id = row.integer(0) }
        return SourceID(rawValue: id)
    }

    func totals(target: String, source: SourceID?) throws(LedgerError) -> AcceptedTotals {
        var totals = AcceptedTotals(records: 0, bytes: 0)
        let take = { (row: Statement) throws(LedgerError) in
            totals = AcceptedTotals(records: Int(row.integer(0)), bytes: Int(row.integer(1)))
        }
        if let source {
            try statements.totalOfSource.each([.text(target), .integer(source.rawValue)], take)
        } else {
            try statements.totalOfTarget.each([.text(target)], take)
        }
        return totals
    }

    func fileLength(target: String) throws(LedgerError) -> (path: String, length: UInt64)? {
        var found: (path: String, length: UInt64)?
        let path = connection.path
        try statements.fileLength.each([.text(target)]) { (row: Statement) throws(LedgerError) in
            found = try Self.fileLength(row, path)
        }
        return found
    }

    func deadLetter(id: Int64) throws(LedgerError) -> DeadLetter? {
        try deadLetters(statements.letters.one, [.integer(id)]).first
    }

    func deadLetters(target: String?, after: Int64, limit: Int) throws(LedgerError) -> [DeadLetter] {
        let bounds: [Value] = [.integer(after), .integer(Int64(max(limit, 0)))]
        guard let target else { return try deadLetters(statements.letters.all, bounds) }
        return try deadLetters(statements.letters.ofTarget, bounds + [.text(target)])
    }

    func deadLetterCount(target: String?) throws(LedgerError) -> Int {
        var count: Int64 = 0
        let take = { (row: Statement) throws(LedgerError) in count = row.integer(0) }
        if let target {
            try statements.letters.countOfTarget.each([.text(target)], take)
        } else {
            try statements.letters.count.each([], take)
        }
        return Int(count)
    }

    func deadLetterCount(target: String, sources: Set<SourceID>) throws(LedgerError) -> Int {
        var count: Int64 = 0
        for source in sources {
            try statements.letters.countOfSource.each([.text(target), .integer(source.rawValue)]) {
                (row: Statement) throws(LedgerError) in count += row.integer(0)
            }
        }
        return Int(count)
    }

    private func deadLetters(_ statement: Statement, _ values: [Value]) throws(LedgerError) -> [DeadLetter] {
        var letters: [DeadLetter] = []
        let path = connection.path
        try statement.each(values) { (row: Statement) throws(LedgerError) in
            letters.append(try Self.deadLetter(row, path))
        }
        return letters
    }

    /// Reads a row of ``LetterStatements/columns``.
    static func deadLetter(_ row: Statement, _ path: String) throws(LedgerError) -> DeadLetter {
        let letter = DeadLetter(
            id: row.integer(0), target: row.text(1), source: SourceID(rawValue: row.integer(2)),
            position: UInt64(clamping: row.integer(3)), uid: row.text(4), reason: row.text(5), code: row.text(6),
            firstAttempt: row.integer(7), lastAttempt: row.integer(8), attempts: Int(row.integer(9)),
            bytes: row.blob(10), length: Int(row.integer(12)))
        let sum = RowSum.deadLetter(
            target: letter.target, source: letter.source.rawValue, position: row.integer(3), bytes: letter.bytes)
        guard sum == row.integer(11) else {
            throw .corrupt(path, "the checksum of dead letter \(letter.id) is wrong")
        }
        return letter
    }
}
