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
        var groups: [Group] = []
        for target in 0..<targetCount where room & (1 << UInt32(target)) != 0 {
            choose(target, number, &room, &groups)
        }
        // In the order in which they were read: neighbours go as one piece, and come back as one.
        for group in groups.indices where !groups[group].isSorted { groups[group].slots.sort() }
        groups.sort { $0.slots[0] < $1.slots[0] }
        return groups.flatMap { frames($0.targets, $0.slots, worker) }
    }

    /// Where what waits for a worker's room for a target stands in ``waiting``.
    func queue(_ worker: Int, _ target: Int) -> Int { worker * targetCount + target }

    /// Puts together again what waits for a worker: its shards are others than before.
    mutating func requeue(_ worker: Int) {
        var queues = Array(repeating: WaitingQueue(), count: targetCount)
        for place in pages.indices {
            guard let page = pages[place] else { continue }
            for (offset, entry) in page.entries.enumerated() where entry.owed & ~entry.sent != 0 {
                guard isHeld[Int(entry.shard)], owners[Int(entry.shard)]?.worker.index == worker else { continue }
                for target in 0..<targetCount where entry.owed & ~entry.sent & (1 << UInt32(target)) != 0 {
                    queues[target].append(Slot.pack(pages.id(at: place), offset))
                }
            }
        }
        for target in 0..<targetCount { waiting[queue(worker, target)] = queues[target] }
    }

    /// Records that the same targets want.
    struct Group {
        var targets: UInt32
        var slots: [UInt64]
        var isSorted = true
    }

    /// A worker that has little room left waits until there is more, or frames would become small.
    private func hasCredit(_ worker: Int, _ target: Int) -> Bool {
        let (used, window) = (workers[worker].outstanding[target], workers[worker].windowBytes)
        return used == 0 || window - used >= max(window / 8, 1)
    }

    private mutating func choose(_ target: Int, _ worker: Int, _ room: inout UInt32, _ groups: inout [Group]) {
        let (bit, queue) = (UInt32(1) << UInt32(target), queue(worker, target))
        while room & bit != 0, let slot = waiting[queue].first {
            let id = Slot.page(slot)
            guard let place = pages.place(of: id), pages[place] != nil else {
                waiting[queue].removeFirst()
                continue
            }
            withPage(id) { page, dispatch in
                while room & bit != 0, let slot = dispatch.waiting[queue].first, Slot.page(slot) == id {
                    dispatch.waiting[queue].removeFirst()
                    dispatch.choose(slot, &page, bit, worker, &room, &groups)
                }
            }
        }
    }

    private mutating func choose(
        _ slot: UInt64, _ page: inout WindowPage, _ bit: UInt32, _ worker: Int, _ room: inout UInt32,
        _ groups: inout [Group]
    ) {
        let offset = Slot.offset(slot)
        let entry = page.entries[offset]
        guard entry.owed & bit != 0, entry.sent & bit == 0, isHeld[Int(entry.shard)],
            owners[Int(entry.shard)]?.worker.index == worker
        else { return }
        let mask = entry.owed & ~entry.sent & room
        page.entries[offset].sent = entry.sent | mask
        page.sentCount += mask.nonzeroBitCount
        var rest = mask
        while rest != 0 {
            let other = rest.trailingZeroBitCount
            rest &= rest - 1
            workers[worker].outstanding[other] += Int(entry.length)
            if workers[worker].outstanding[other] >= workers[worker].windowBytes { room &= ~(1 << UInt32(other)) }
        }
        let group = groups.firstIndex { $0.targets == mask } ?? groups.count
        if group == groups.count { groups.append(Group(targets: mask, slots: [])) }
        if let last = groups[group].slots.last, last > slot { groups[group].isSorted = false }
        groups[group].slots.append(slot)
    }

    private func frames(_ mask: UInt32, _ slots: [UInt64], _ worker: WorkerID) -> [Effect] {
        var effects: [Effect] = []
        var frame = frame(mask, slots.count)
        var next = 0
        while next < slots.count {
            let id = Slot.page(slots[next])
            guard let place = pages.place(of: id), let page = pages[place] else {
                next += 1
                continue
            }
            var run = 0..<0
            while next < slots.count, Slot.page(slots[next]) == id {
                let entry = page.entries[Slot.offset(slots[next])]
                let isFull = frame.keys.count == bounds.frameRecords
                if isFull
                    || !frame.keys.isEmpty
                        && frame.lines.count + run.count + Int(entry.length) > bounds.frameBytes
                {
                    frame.lines.append(page.bytes, run)
                    run = 0..<0
                    effects.append(.send(worker, frame))
                    frame = self.frame(mask, slots.count - next)
                }
                append(entry, of: page, &run, to: &frame)
                next += 1
            }
            frame.lines.append(page.bytes, run)
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

    /// - Parameter run: of the page's bytes, what belongs to the frame and is not in it yet.
    private func append(
        _ entry: FeedRecord, of page: WindowPage, _ run: inout Range<Int>, to frame: inout RecordsFrame
    ) {
        let range = Int(entry.start)..<Int(entry.start) + Int(entry.length)
        frame.keys.append(RecordKey(high: page.source, low: entry.position))
        frame.grants.append(ShardGrant(shard: entry.shard, epoch: owners[Int(entry.shard)]?.epoch ?? 0))
        frame.lengths.append(entry.length + (entry.isWhole ? 0 : 1))
        if run.upperBound == range.lowerBound, !run.isEmpty {
            run = run.lowerBound..<range.upperBound
        } else {
            frame.lines.append(page.bytes, run)
            run = range
        }
        guard !entry.isWhole else { return }
        frame.lines.append(page.bytes, run)
        frame.lines.append(Self.lineEnd, 0..<1)
        run = 0..<0
    }

    private static let lineEnd = SealedBytes([0x0A])

    /// What was sent of these shards counts as not sent; it waits for their next owner.
    mutating func takeBack(shards: [UInt16]) -> [Effect] {
        guard !shards.isEmpty else { return [] }
        let taken = Set(shards)
        for place in pages.indices {
            guard var page = pages[place], page.sentCount > 0 else { continue }
            pages[place] = nil
            for offset in page.entries.indices {
                let entry = page.entries[offset]
                guard entry.sent != 0, taken.contains(entry.shard) else { continue }
                let shard = Int(entry.shard)
                for target in 0..<targetCount where entry.sent & (1 << UInt32(target)) != 0 {
                    if let owner = owners[shard] {
                        workers[owner.worker.index].outstanding[target] -= Int(entry.length)
                    }
                }
                page.sentCount -= entry.sent.nonzeroBitCount
                page.entries[offset].sent = 0
            }
            pages[place] = page
        }
        let all = pages.indices.map { pages.id(at: $0) }
        return all.flatMap { close($0) }
    }
}

extension WorkerID {
    /// Its place in lists by worker.
    var index: Int { Int(number) }
}
