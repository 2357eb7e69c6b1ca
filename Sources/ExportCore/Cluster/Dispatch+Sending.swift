import Model
import Protocol

extension Dispatch {
    /// Sends a worker what waits for it, as far as it has room.
    mutating func pump(_ worker: WorkerID) -> [Effect] {
        let number = worker.index
        guard number < workers.count, workers[number].isOpen, !workers[number].shards.isEmpty else { return [] }
        var room: UInt32 = 0
        for target in 0..<targetCount where hasCredit(number, target) { room |= 1 << UInt32(target) }
        guard room != 0 else { return [] }
        let shards = workers[number].shards
        let first = workers[number].turn % shards.count
        workers[number].turn = (first + 1) % shards.count
        var groups: [Group] = []
        for step in shards.indices {
            let shard = Int(shards[(first + step) % shards.count])
            for target in 0..<targetCount where room & (1 << UInt32(target)) != 0 {
                choose(shard, target, number, &room, &groups)
            }
            if room == 0 { break }
        }
        // In the order in which they were read: neighbours go as one piece, and come back as one.
        for group in groups.indices { groups[group].slots.sort() }
        groups.sort { $0.slots[0] < $1.slots[0] }
        return groups.flatMap { frames($0.targets, $0.slots, worker) }
    }

    /// Records that the same targets want.
    struct Group {
        var targets: UInt32
        var slots: [UInt64]
    }

    /// A worker that has little room left waits until there is more, or frames would become small.
    private func hasCredit(_ worker: Int, _ target: Int) -> Bool {
        let (used, window) = (workers[worker].outstanding[target], workers[worker].windowBytes)
        return used == 0 || window - used >= max(window / 8, 1)
    }

    private mutating func choose(
        _ shard: Int, _ target: Int, _ worker: Int, _ room: inout UInt32, _ groups: inout [Group]
    ) {
        let bit = UInt32(1) << UInt32(target)
        while room & bit != 0, let slot = waiting[target][shard].first {
            waiting[target][shard].removeFirst()
            let (id, offset) = (Slot.page(slot), Slot.offset(slot))
            guard let place = pages.place(of: id), let entry = pages[place]?.entries[offset],
                entry.owed & bit != 0, entry.sent & bit == 0
            else { continue }
            let mask = entry.owed & ~entry.sent & room
            pages[place]?.entries[offset].sent |= mask
            pages[place]?.sentCount += mask.nonzeroBitCount
            for other in 0..<targetCount where mask & (1 << UInt32(other)) != 0 {
                workers[worker].outstanding[other] += Int(entry.length)
                if workers[worker].outstanding[other] >= workers[worker].windowBytes { room &= ~(1 << UInt32(other)) }
            }
            let group = groups.firstIndex { $0.targets == mask } ?? groups.count
            if group == groups.count { groups.append(Group(targets: mask, slots: [])) }
            groups[group].slots.append(slot)
        }
    }

    private func frames(_ mask: UInt32, _ slots: [UInt64], _ worker: WorkerID) -> [Effect] {
        var effects: [Effect] = []
        var frame = frame(mask, slots.count)
        var last: (id: UInt64, page: WindowPage)?
        for slot in slots {
            let id = Slot.page(slot)
            if last?.id != id { last = pages.place(of: id).flatMap { pages[$0] }.map { (id, $0) } }
            guard let page = last?.page else { continue }
            let entry = page.entries[Slot.offset(slot)]
            let isFull = frame.keys.count == bounds.frameRecords
            if isFull || !frame.keys.isEmpty && frame.lines.count + Int(entry.length) > bounds.frameBytes {
                effects.append(.send(worker, frame))
                frame = self.frame(mask, slots.count)
            }
            append(entry, of: page, to: &frame)
        }
        if !frame.keys.isEmpty { effects.append(.send(worker, frame)) }
        return effects
    }

    private func frame(_ mask: UInt32, _ most: Int) -> RecordsFrame {
        var frame = RecordsFrame(term: term, targets: mask, keys: [], grants: [], lengths: [], lines: RecordLines())
        let count = min(most, bounds.frameRecords)
        frame.keys.reserveCapacity(count)
        frame.grants.reserveCapacity(count)
        frame.lengths.reserveCapacity(count)
        return frame
    }

    private func append(_ entry: WindowPage.Entry, of page: WindowPage, to frame: inout RecordsFrame) {
        let range = Int(entry.start)..<Int(entry.start) + Int(entry.length)
        frame.keys.append(RecordKey(high: page.source, low: entry.position))
        frame.grants.append(ShardGrant(shard: entry.shard, epoch: owners[Int(entry.shard)]?.epoch ?? 0))
        frame.lines.append(page.bytes, range)
        // The last line of a source may lack its end, and a line that was too long to keep always does.
        let isWhole = page.bytes.span[range.upperBound - 1] == 0x0A
        if !isWhole { frame.lines.append(Self.lineEnd, 0..<1) }
        frame.lengths.append(entry.length + (isWhole ? 0 : 1))
    }

    private static let lineEnd = SealedBytes([0x0A])

    /// What was sent of these shards counts as not sent.
    mutating func takeBack(shards: [UInt16]) -> [Effect] {
        guard !shards.isEmpty else { return [] }
        let taken = Set(shards)
        var again: [[Int: [UInt64]]] = Array(repeating: [:], count: targetCount)
        for place in pages.indices {
            guard var page = pages[place], page.sentCount > 0 else { continue }
            pages[place] = nil
            let id = pages.id(at: place)
            for offset in page.entries.indices {
                let entry = page.entries[offset]
                guard entry.sent != 0, taken.contains(entry.shard) else { continue }
                let shard = Int(entry.shard)
                for target in 0..<targetCount where entry.sent & (1 << UInt32(target)) != 0 {
                    if let owner = owners[shard] {
                        workers[owner.worker.index].outstanding[target] -= Int(entry.length)
                    }
                    guard entry.owed & (1 << UInt32(target)) != 0 else { continue }
                    again[target][shard, default: []].append(Slot.pack(id, offset))
                }
                page.sentCount -= entry.sent.nonzeroBitCount
                page.entries[offset].sent = 0
            }
            pages[place] = page
        }
        for target in 0..<targetCount {
            for (shard, slots) in again[target] { waiting[target][shard].prepend(slots) }
        }
        let all = pages.indices.map { pages.id(at: $0) }
        return all.flatMap { close($0) }
    }
}

extension WorkerID {
    /// Its place in lists by worker.
    var index: Int { Int(number) }
}
