import Protocol

/// Records as the table has them, five bytes each where they lie close together in one source and 23 at most: what a row
/// costs, the disk's log included, grows with its bytes.
///
/// A record begins with a byte that says what follows: the key, or with ``near`` how far its low half is from that of the
/// record before, whose high half it shares; the shard; the epoch, unless with ``sameEpoch`` it is that of the record before.
/// Numbers are big-endian; a distance is a zigzag number in groups of seven bits, the lowest first, the last without the
/// eighth bit.
///
/// Until version 4 of the tables a record was its key, its shard and its epoch, 22 bytes.
extension ToldRow {
    /// In a row's `kind`: its records are packed.
    static let packed: Int64 = 16
    private static let unpackedBytes = 22

    private static let near: UInt8 = 1
    private static let sameEpoch: UInt8 = 2

    /// The records, packed.
    var records: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(keys.count * 6 + 32)
        func append(_ number: some FixedWidthInteger) {
            for shift in stride(from: number.bitWidth - 8, through: 0, by: -8) {
                bytes.append(UInt8(truncatingIfNeeded: number >> shift))
            }
        }
        var (key, epoch): (RecordKey?, UInt32?) = (nil, nil)
        for (index, next) in keys.enumerated() {
            let grant = grants[index]
            let distance = Int64(bitPattern: next.low &- (key?.low ?? 0))
            // Beyond that the key itself is shorter.
            let isNear = key?.high == next.high && distance.magnitude < 1 << 48
            bytes.append((isNear ? Self.near : 0) | (epoch == grant.epoch ? Self.sameEpoch : 0))
            if isNear {
                var rest = UInt64(bitPattern: distance << 1 ^ distance >> 63)
                while rest > 0x7F {
                    bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
                    rest >>= 7
                }
                bytes.append(UInt8(rest))
            } else {
                append(next.high)
                append(next.low)
            }
            append(grant.shard)
            if epoch != grant.epoch { append(grant.epoch) }
            (key, epoch) = (next, grant.epoch)
        }
        return bytes
    }

    /// Reads what ``records`` wrote, now or before version 5; nil if it is nothing such.
    init?(number: UInt64, target: String, kind: Int64, reason: String, records: [UInt8]) {
        guard let code = UInt8(exactly: kind & ~Self.packed), let known = Outcomes.Kind(rawValue: code) else {
            return nil
        }
        var reader = Reader(bytes: records[...])
        var (keys, grants): ([RecordKey], [ShardGrant]) = ([], [])
        if kind & Self.packed == 0 {
            guard records.count % Self.unpackedBytes == 0 else { return nil }
            while let key = reader.key(false, nil), let shard = reader.next(UInt16.self),
                let epoch = reader.next(UInt32.self)
            {
                keys.append(key)
                grants.append(ShardGrant(shard: shard, epoch: epoch))
            }
            self.init(number: number, target: target, kind: known, reason: reason, keys: keys, grants: grants)
            return
        }
        while let marks = reader.bytes.popFirst() {
            guard marks & ~(Self.near | Self.sameEpoch) == 0, let key = reader.key(marks & Self.near != 0, keys.last),
                let shard = reader.next(UInt16.self),
                let epoch = marks & Self.sameEpoch != 0 ? grants.last?.epoch : reader.next(UInt32.self)
            else { return nil }
            keys.append(key)
            grants.append(ShardGrant(shard: shard, epoch: epoch))
        }
        self.init(number: number, target: target, kind: known, reason: reason, keys: keys, grants: grants)
    }

    /// What is left of the bytes.
    private struct Reader {
        var bytes: ArraySlice<UInt8>

        mutating func next<N: FixedWidthInteger>(_: N.Type) -> N? {
            guard bytes.count >= N.bitWidth / 8 else { return nil }
            var number: N = 0
            for _ in 0..<N.bitWidth / 8 { number = number << 8 | N(truncatingIfNeeded: bytes.removeFirst()) }
            return number
        }

        mutating func key(_ isNear: Bool, _ before: RecordKey?) -> RecordKey? {
            guard isNear else {
                guard let high = next(UInt64.self), let low = next(UInt64.self) else { return nil }
                return RecordKey(high: high, low: low)
            }
            guard let before, let zigzag = groups() else { return nil }
            return RecordKey(high: before.high, low: before.low &+ (zigzag >> 1 ^ (0 &- (zigzag & 1))))
        }

        private mutating func groups() -> UInt64? {
            var (number, shift): (UInt64, UInt64) = (0, 0)
            while shift < 56, let group = bytes.popFirst() {
                number |= UInt64(group & 0x7F) << shift
                if group & 0x80 == 0 { return number }
                shift += 7
            }
            return nil
        }
    }
}
