/// Events by time; those of one time in the order in which they came.
struct EventQueue<Time: Comparable, Element> {
    private var heap: [(at: Time, order: Int, element: Element)] = []
    private var count = 0

    var first: Time? { heap.first?.at }

    mutating func push(_ element: Element, at: Time) {
        heap.append((at, count, element))
        count += 1
        var child = heap.count - 1
        while child > 0, isBefore(child, (child - 1) / 2) {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func pop(notAfter now: Time) -> Element? {
        guard let top = heap.first, top.at <= now else { return nil }
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && isBefore(child, least) {
                least = child
            }
            if least == parent { break }
            heap.swapAt(parent, least)
            parent = least
        }
        return top.element
    }

    private func isBefore(_ a: Int, _ b: Int) -> Bool { (heap[a].at, heap[a].order) < (heap[b].at, heap[b].order) }
}
