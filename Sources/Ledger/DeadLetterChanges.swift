/// What becomes of dead letters. Like all of the store: on the ledger's thread, within a transaction.
extension LedgerStore {
    /// Takes a letter out and remembers that, and by whom.
    func remove(_ removal: DeadLetterRemoval) throws(LedgerError) {
        guard let letter = try deadLetter(id: removal.id) else { return }
        try drop(letter, removal)
    }

    /// Makes a letter of the intake one of each target.
    func readmit(_ removal: DeadLetterRemoval, _ uid: String, _ targets: [String]) throws(LedgerError) {
        guard let letter = try deadLetter(id: removal.id) else { return }
        let end = letter.position + UInt64(max(letter.length, letter.bytes.count))
        for target in targets {
            try keep(
                NewDeadLetter(
                    target: target, source: letter.source, range: letter.position..<end, uid: uid,
                    reason:
                        "readmitted, not delivered yet; refused before (dead letter \(letter.id)): \(letter.reason)",
                    code: "readmitted", firstAttempt: letter.firstAttempt, lastAttempt: removal.time, attempts: 0,
                    bytes: letter.bytes))
        }
        try drop(letter, removal)
    }

    /// Letters of `target` and `source` that were delivered after all, and of which no row tells.
    func revivedLetters(_ target: String, _ source: SourceID, limit: Int) throws(LedgerError) -> [RevivedLetter] {
        var found: [RevivedLetter] = []
        try statements.letters.untold.each([
            .text(target), .integer(source.rawValue), .integer(Int64(max(limit, 0))),
        ]) { (row: Statement) throws(LedgerError) in
            found.append(
                RevivedLetter(
                    id: row.integer(0), position: UInt64(clamping: row.integer(1)), uid: row.text(2)))
        }
        return found
    }

    private func drop(_ letter: DeadLetter, _ removal: DeadLetterRemoval) throws(LedgerError) {
        // First, so that on a full disk the room it frees holds what is remembered of it.
        try statements.letters.delete.run([.integer(letter.id)])
        let entry = DeadLetterEntry(
            id: letter.id, target: letter.target, input: "", position: letter.position, uid: letter.uid,
            reason: letter.reason, code: letter.code, firstAttempt: letter.firstAttempt,
            lastAttempt: letter.lastAttempt, attempts: letter.attempts, size: letter.bytes.count, isCut: letter.isCut)
        let sum = RowSum.removedLetter(
            RemovedLetter(letter: entry, removal: removal), source: letter.source.rawValue, length: letter.length)
        try statements.letters.addRemoval.run([
            .integer(letter.id), .text(letter.target), .integer(letter.source.rawValue),
            .integer(Int64(clamping: letter.position)), .text(letter.uid), .text(letter.reason), .text(letter.code),
            .integer(letter.firstAttempt), .integer(letter.lastAttempt), .integer(Int64(letter.attempts)),
            .integer(Int64(letter.bytes.count)), .integer(Int64(letter.length)), .blob(removal.digest),
            .text(removal.outcome.rawValue), .integer(removal.time), .text(removal.person), .text(removal.note),
            .integer(sum),
        ])
    }
}
