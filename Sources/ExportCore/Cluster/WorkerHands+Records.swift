import Model
public import Protocol

extension WorkerHands {
    /// Takes records that the leader sent. Nil if nothing of them is new here.
    public mutating func take(_ frame: RecordsFrame) -> Delivery? {
        guard let session, frame.term == session.term else { return nil }
        var wanted: UInt32 = 0
        for (bit, target) in session.order.enumerated() where frame.targets & (1 << UInt32(bit)) != 0 {
            wanted |= 1 << UInt32(target)
        }
        let start = end
        let first = items.count
        var skips = Array(repeating: [Range<UInt64>](), count: targetCount)
        var carried = 0
        known.approach(frame.keys)
        for (index, key) in frame.keys.enumerated() {
            let place = end..<end + UInt64(frame.lengths[index])
            end = place.upperBound
            let fresh = admit(key, frame.grants[index], wanted, place)
            carried += fresh.nonzeroBitCount
            for target in 0..<targetCount where fresh & (1 << UInt32(target)) == 0 {
                skips[target].appendJoining(place)
            }
        }
        guard items.count > first else {
            end = start
            return nil
        }
        pieces.append(Piece(range: start..<end, bytes: frame.bytes, carried: carried))
        let targets = (0..<targetCount).filter { skips[$0] != [start..<end] }
        return Delivery(
            range: start..<end, bytes: frame.bytes, targets: targets.map { ($0, PositionSet(skips[$0])) })
    }

    /// The targets that a record is new for.
    private mutating func admit(
        _ key: RecordKey, _ grant: ShardGrant, _ wanted: UInt32, _ place: Range<UInt64>
    ) -> UInt32 {
        guard let holding = held[grant.shard], !holding.isRevoked, holding.epoch == grant.epoch else { return 0 }
        if !withdrawing.isEmpty, let leaving = withdrawing[key], leaving & wanted != 0 {
            resent[key, default: 0] |= leaving & wanted
        }
        let (fresh, known) = known.admit(key, wanted)
        guard fresh != 0 else { return 0 }
        load[grant.shard] = (load[grant.shard] ?? 0) + fresh.nonzeroBitCount
        for target in 0..<targetCount where fresh & (1 << UInt32(target)) != 0 {
            carriedBytes[target] += UInt64(place.count)
        }
        items.append(
            Item(
                key: key, place: known, position: place.lowerBound, length: UInt32(place.count), shard: grant.shard,
                carried: fresh))
        return fresh
    }

    /// A lane settled stretches of the stream: what is to be committed, before ``committed(_:)``. Stretches of records
    /// that are not in hand mean nothing.
    public mutating func settle(target: Int, _ ranges: [Range<UInt64>], dead: [DeadRecord]) -> [Row] {
        let bit = UInt32(1) << UInt32(target)
        let reasons = Dictionary(dead.map { ($0.position, $0.reason) }) { first, _ in first }
        var delivered = Row(number: 0, target: target, kind: .delivered, reason: "", keys: [], grants: [])
        var buried: [Row] = []
        var piece = 0
        for range in ranges {
            var found = firstItem(from: range.lowerBound)
            while found < items.count, items[found].position < range.upperBound {
                defer { found += 1 }
                guard items[found].carried & bit != 0 else { continue }
                let item = items[found]
                drop(found, bit, &piece)
                withdrawing.clear(item.key, bit)
                resent.clear(item.key, bit)
                let grant = ShardGrant(shard: item.shard, epoch: held[item.shard]?.epoch ?? 0)
                guard !reasons.isEmpty, let reason = reasons[item.position] else {
                    delivered.append(item, grant)
                    continue
                }
                if buried.last?.reason != reason {
                    buried.append(Row(number: 0, target: target, kind: .dead, reason: reason, keys: [], grants: []))
                }
                buried[buried.count - 1].append(item, grant)
            }
        }
        trim()
        return number((delivered.keys.isEmpty ? [] : [delivered]) + buried)
    }

    /// Records that the intake refused: given up for every target that was to have them.
    public mutating func refuse(_ refused: [DeadRecord]) -> [Row] {
        (0..<targetCount).flatMap { target in
            settle(target: target, refused.map { $0.position..<$0.position + 1 }, dead: refused)
        }
    }

    /// Records that were given up were delivered after all, by another process. Whose shards they are by now does not matter:
    /// that it was delivered is true whoever tells it, so the row names no grant that was ever given.
    public mutating func revive(target: Int, _ keys: [RecordKey]) -> [Row] {
        guard !keys.isEmpty else { return [] }
        let grant = ShardGrant(shard: 0, epoch: 0)
        // That shard, as any other, is not released before the row is committed.
        load[grant.shard] = (load[grant.shard] ?? 0) + keys.count
        var row = Row(
            number: nextRow, target: target, kind: .delivered, reason: "", keys: keys,
            grants: Array(repeating: grant, count: keys.count))
        row.places = keys.map { known.hold($0, 1 << UInt32(target)) }
        lastRevivals[target] = nextRow
        return number([row])
    }

    /// Whether the leader does not have for good what was told last of a target's records that were delivered after all.
    public func hasRevivals(of target: Int) -> Bool {
        let last = lastRevivals[target]
        return uncommitted[last] != nil || rows.contains { $0.number == last }
    }

    /// Rows are in the ledger: they are told, once all before them are.
    public mutating func committed(_ numbers: [UInt64]) -> [Effect] {
        for number in numbers {
            guard let row = uncommitted.removeValue(forKey: number) else { continue }
            let bit = UInt32(1) << UInt32(row.target)
            for (key, place) in zip(row.keys, row.places) { known.tell(key, at: place, bit) }
            for grant in row.grants { unload(grant.shard) }
            rows.insert(row, at: rows.partitioningIndex { $0.number > number })
        }
        return tellReady() + release()
    }

    /// A lane carries what lies at these places no further: nobody knows that it was accepted. What the leader has sent
    /// again meanwhile begins anew.
    public mutating func withdrawn(target: Int, _ ranges: [Range<UInt64>]) -> [Effect] {
        let bit = UInt32(1) << UInt32(target)
        var again: [(item: Item, line: [UInt8])] = []
        var piece = 0
        for range in ranges {
            var found = firstItem(from: range.lowerBound)
            while found < items.count, items[found].position < range.upperBound {
                defer { found += 1 }
                let item = items[found]
                guard item.carried & bit != 0 else { continue }
                let isResent = (resent[item.key] ?? 0) & bit != 0
                let line = isResent ? bytes(at: item.position..<item.position + UInt64(item.length)) : nil
                withdrawing.clear(item.key, bit)
                resent.clear(item.key, bit)
                known.release(item.key, at: item.place, bit)
                unload(item.shard)
                drop(found, bit, &piece)
                if let line, let holding = held[item.shard], !holding.isRevoked { again.append((item, line)) }
            }
        }
        trim()
        return takeUp(again, target) + release()
    }

    /// Lays records out anew for one target.
    private mutating func takeUp(_ records: [(item: Item, line: [UInt8])], _ target: Int) -> [Effect] {
        guard !records.isEmpty else { return [] }
        let bit = UInt32(1) << UInt32(target)
        let start = end
        var lines = ByteWriter(capacity: records.reduce(0) { $0 + $1.line.count })
        for (item, line) in records {
            lines.append(line.span)
            let place = known.hold(item.key, bit)
            load[item.shard] = (load[item.shard] ?? 0) + 1
            carriedBytes[target] += UInt64(line.count)
            items.append(
                Item(
                    key: item.key, place: place, position: end, length: UInt32(line.count), shard: item.shard,
                    carried: bit))
            end += UInt64(line.count)
        }
        let bytes = lines.seal()
        pieces.append(Piece(range: start..<end, bytes: bytes, carried: records.count))
        return [.intake(Delivery(range: start..<end, bytes: bytes, targets: [(target, PositionSet())]))]
    }

    /// What of these stretches a target's lane still carries although its shard was revoked.
    public func leaving(target: Int, _ ranges: [Range<UInt64>]) -> [Range<UInt64>] {
        var left: [Range<UInt64>] = []
        for range in ranges {
            var found = firstItem(from: range.lowerBound)
            while found < items.count, items[found].position < range.upperBound {
                let item = items[found]
                found += 1
                guard item.carried & (1 << UInt32(target)) != 0, held[item.shard]?.isRevoked ?? false else { continue }
                left.appendJoining(item.position..<item.position + UInt64(item.length))
            }
        }
        return left
    }

    /// An attempt at what lies at these places failed; attempts go on.
    public func failed(target: Int, _ ranges: [Range<UInt64>], reason: String) -> [Effect] {
        guard session != nil else { return [] }
        let bit = UInt32(1) << UInt32(target)
        var row = Row(number: 0, target: target, kind: .failed, reason: reason, keys: [], grants: [])
        for range in ranges {
            var found = firstItem(from: range.lowerBound)
            while found < items.count, items[found].position < range.upperBound {
                defer { found += 1 }
                guard items[found].carried & bit != 0, let holding = held[items[found].shard] else { continue }
                row.keys.append(items[found].key)
                row.grants.append(ShardGrant(shard: items[found].shard, epoch: holding.epoch))
            }
        }
        return row.keys.isEmpty ? [] : [tell(row)].compactMap { $0 }
    }

    private mutating func number(_ rows: [Row]) -> [Row] {
        rows.map { row in
            var row = row
            row.number = nextRow
            nextRow += 1
            uncommitted[row.number] = row
            return row
        }
    }

    private mutating func unload(_ shard: UInt16) {
        guard let count = load[shard] else { return }
        load[shard] = count == 1 ? nil : count - 1
    }

    /// The lane of `bit` has done with an item. `piece` is the one of the item before.
    private mutating func drop(_ found: Int, _ bit: UInt32, _ piece: inout Int) {
        items[found].carried &= ~bit
        if items[found].carried == 0 { done += 1 }
        if piece >= pieces.count || !pieces[piece].range.contains(items[found].position) {
            guard let place = self.piece(at: items[found].position) else { return }
            piece = place
        }
        pieces[piece].carried -= 1
        carriedBytes[bit.trailingZeroBitCount] -= UInt64(items[found].length)
    }

    /// Lets go what no lane carries any more.
    private mutating func trim() {
        // From wherever they stand: those of a target that takes nothing stay for hours, and what others had done with would
        // pile up behind them.
        if done > 4_096 && done * 2 > items.count || done == items.count {
            items.removeAll { $0.carried == 0 }
            done = 0
        }
        if pieces.contains(where: { $0.carried == 0 }) { pieces.removeAll { $0.carried == 0 } }
    }

    func firstItem(from position: UInt64) -> Int {
        var (low, high) = (0, items.count)
        while low < high {
            let middle = (low + high) / 2
            if items[middle].position < position { low = middle + 1 } else { high = middle }
        }
        return low
    }

    func piece(at position: UInt64) -> Int? {
        var (low, high) = (0, pieces.count)
        while low < high {
            let middle = (low + high) / 2
            if pieces[middle].range.upperBound <= position { low = middle + 1 } else { high = middle }
        }
        return low < pieces.count && pieces[low].range.contains(position) ? low : nil
    }
}

extension WorkerHands.Row {
    fileprivate mutating func append(_ item: WorkerHands.Item, _ grant: ShardGrant) {
        keys.append(item.key)
        grants.append(grant)
        places.append(item.place)
    }
}

extension [Range<UInt64>] {
    /// Appends `range`, or lengthens the last one if it ends where `range` begins.
    mutating func appendJoining(_ range: Range<UInt64>) {
        if let last, last.upperBound == range.lowerBound {
            self[count - 1] = last.lowerBound..<range.upperBound
        } else {
            append(range)
        }
    }
}
