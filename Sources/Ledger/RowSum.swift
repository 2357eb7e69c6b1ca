internal import Model

/// A checksum over the columns of a row: FNV-1a of 64 bits (Fowler, Noll and Vo).
///
/// SQLite keeps no checksum of its pages, and a flipped bit in an offset would make the exporter skip records it
/// never sent. This finds accidents, not forgery.
struct RowSum {
    private var hash: UInt64 = 0xcbf2_9ce4_8422_2325

    private mutating func add(byte: UInt8) {
        hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3
    }

    mutating func add(_ number: Int64) {
        for shift in stride(from: UInt64(0), to: 64, by: 8) {
            add(byte: UInt8(truncatingIfNeeded: UInt64(bitPattern: number) >> shift))
        }
    }

    mutating func add(_ text: String) {
        add(Int64(text.utf8.count))
        for byte in text.utf8 { add(byte: byte) }
    }

    mutating func add(_ bytes: [UInt8]) {
        add(Int64(bytes.count))
        for byte in bytes { add(byte: byte) }
    }

    /// As SQLite stores it.
    var value: Int64 { Int64(bitPattern: hash) }

    static func progress(target: String, source: Int64, start: Int64, end: Int64) -> Int64 {
        var sum = RowSum()
        sum.add(target)
        sum.add(source)
        sum.add(start)
        sum.add(end)
        return sum.value
    }

    static func fileLength(target: String, path: String, length: Int64) -> Int64 {
        var sum = RowSum()
        sum.add(target)
        sum.add(path)
        sum.add(length)
        return sum.value
    }

    static func inFlight(_ target: String, _ stretch: (source: Int64, start: Int64, end: Int64), _ receipt: Receipt?)
        -> Int64
    {
        var sum = RowSum()
        sum.add(target)
        sum.add(stretch.source)
        sum.add(stretch.start)
        sum.add(stretch.end)
        sum.add(receipt?.channel ?? "")
        sum.add(receipt?.id ?? -1)
        return sum.value
    }

    static func told(_ number: Int64, _ target: String, _ kind: Int64, _ reason: String, _ records: [UInt8]) -> Int64 {
        var sum = RowSum()
        sum.add(number)
        sum.add(target)
        sum.add(kind)
        sum.add(reason)
        sum.add(records)
        return sum.value
    }

    static func deadLetter(target: String, source: Int64, position: Int64, bytes: [UInt8]) -> Int64 {
        var sum = RowSum()
        sum.add(target)
        sum.add(source)
        sum.add(position)
        sum.add(bytes)
        return sum.value
    }

    static func removedLetter(_ removed: RemovedLetter, source: Int64, length: Int) -> Int64 {
        var sum = RowSum()
        let (letter, removal) = (removed.letter, removed.removal)
        for text in [letter.target, letter.uid, letter.reason, letter.code, removal.person, removal.note] {
            sum.add(text)
        }
        sum.add(removal.outcome.rawValue)
        let numbers = [
            letter.id, source, Int64(clamping: letter.position), letter.firstAttempt, letter.lastAttempt,
            Int64(letter.attempts), Int64(letter.size), Int64(length), removal.time,
        ]
        for number in numbers { sum.add(number) }
        sum.add(removal.digest)
        return sum.value
    }
}
