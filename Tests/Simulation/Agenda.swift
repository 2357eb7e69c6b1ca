/// What happens when, in the world's own nanoseconds: a binary heap. What is due at one moment happens in the order in
/// which it was planned, so a seed always gives the same history.
struct Agenda<Item> {
    private var heap: [(at: UInt64, order: UInt64, item: Item)] = []
    private var count: UInt64 = 0

    /// When the next thing is due.
    var nextTime: UInt64? { heap.first?.at }

    mutating func insert(_ item: Item, at time: UInt64) {
        count += 1
        heap.append((time, count, item))
        var child = heap.count - 1
        while child > 0, precedes(child, (child - 1) / 2) {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func removeFirst() -> Item? {
        guard !heap.isEmpty else { return nil }
        heap.swapAt(0, heap.count - 1)
        let item = heap.removeLast().item
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && precedes(child, least) {
                least = child
            }
            if least == parent { return item }
            heap.swapAt(least, parent)
            parent = least
        }
    }

    private func precedes(_ a: Int, _ b: Int) -> Bool { (heap[a].at, heap[a].order) < (heap[b].at, heap[b].order) }
}
