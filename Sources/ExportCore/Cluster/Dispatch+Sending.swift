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
        var groups: [UInt32: [UInt64]] = [:]
        for step in shards.indices {
            let shard = Int(shards[(first + step) % shards.count])
            for target in 0..<targetCount where room & (1 << UInt32(target)) != 0 {
                choose(shard, target, number, &room, &groups)
            }
            if room == 0 { break }
        }
        return groups.sorted { $0.value[0] < $1.value[0] }.flatMap { mask, slots in frames(mask, slots, worker) }
    }

    /// A worker that has little room left waits until there is more, or frames would become small.
    private func hasCredit(_ worker: Int, _ target: Int) -> Bool {
        let (used, window) = (workers[worker].outstanding[target], workers[worker].windowBytes)
        return used == 0 || window - used >= max(window / 8, 1)
    }

    private mutating func choose(
        _ shard: Int, _ target: Int, _ worker: Int, _ room: inout UInt32, _ groups: inout [UInt32: [UInt64]]
    ) {
        let bit = UInt32(1) << UInt32(target)
        while room & bit != 0, let slot = waiting[target][shard].first {
            waiting[target][shard].removeFirst()
            let (id, offset) = (Slot.page(slot), Slot.offset(slot))
            guard id >= firstPage, let entry = pages[Int(id - firstPage)]?.entries[offset],
                entry.owed & bit != 0, entry.sent & bit == 0
            else { continue }
            let mask = entry.owed & ~entry.sent & room
            pages[Int(id - firstPage)]?.entries[offset].sent |= mask
            pages[Int(id - firstPage)]?.sentCount += mask.nonzeroBitCount
            for other in 0..<targetCount where mask & (1 << UInt32(other)) != 0 {
                workers[worker].outstanding[other] += Int(entry.length)
                if workers[worker].outstanding[other] >= workers[worker].windowBytes { room &= ~(1 << UInt32(other)) }
            }
            groups[mask, default: []].append(slot)
        }
    }

    private func frames(_ mask: UInt32, _ slots: [UInt64], _ worker: WorkerID) -> [Effect] {
        var effects: [Effect] = []
        var begin = 0
        while begin < slots.count {
            var (end, size) = (begin, 0)
            while end < slots.count, end - begin < bounds.frameRecords {
                let more = Int(entry(slots[end])?.length ?? 0)
                if end > begin, size + more > bounds.frameBytes { break }
                size += more
                end += 1
            }
            effects.append(.send(worker, frame(mask, slots[begin..<end], size)))
            begin = end
        }
        return effects
    }

    private func frame(_ mask: UInt32, _ slots: ArraySlice<UInt64>, _ size: Int) -> RecordsFrame {
        var bytes = ByteWriter(capacity: size + slots.count)
        var keys: [RecordKey] = []
        var grants: [ShardGrant] = []
        var lengths: [UInt32] = []
        keys.reserveCapacity(slots.count)
        grants.reserveCapacity(slots.count)
        lengths.reserveCapacity(slots.count)
        for slot in slots {
            guard let page = pages[Int(Slot.page(slot) - firstPage)] else { continue }
            let entry = page.entries[Slot.offset(slot)]
            let before = bytes.count
            let range = Int(entry.start)..<Int(entry.start) + Int(entry.length)
            bytes.append(page.bytes.span, range)
            // The last line of a source may lack its end, and a line that was too long to keep always does.
            if bytes.span[bytes.count - 1] != 0x0A { bytes.append(0x0A) }
            keys.append(RecordKey(high: page.source, low: entry.position))
            grants.append(ShardGrant(shard: entry.shard, epoch: owners[Int(entry.shard)]?.epoch ?? 0))
            lengths.append(UInt32(bytes.count - before))
        }
        return RecordsFrame(
            term: term, targets: mask, keys: keys, grants: grants, lengths: lengths, bytes: bytes.seal())
    }

    private func entry(_ slot: UInt64) -> WindowPage.Entry? {
        let id = Slot.page(slot)
        return id >= firstPage ? pages[Int(id - firstPage)]?.entries[Slot.offset(slot)] : nil
    }

    /// What was sent of these shards counts as not sent.
    mutating func takeBack(shards: [UInt16]) -> [Effect] {
        guard !shards.isEmpty else { return [] }
        let taken = Set(shards)
        var again: [[Int: [UInt64]]] = Array(repeating: [:], count: targetCount)
        for place in pages.indices {
            guard var page = pages[place], page.sentCount > 0 else { continue }
            pages[place] = nil
            let id = firstPage + UInt64(place)
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
        let all = firstPage..<firstPage + UInt64(pages.count)
        return all.flatMap { close($0) }
    }
}

extension WorkerID {
    /// Its place in lists by worker.
    var index: Int { Int(number) }
}
