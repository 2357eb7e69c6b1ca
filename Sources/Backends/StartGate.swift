import ExportCore

/// Lets deliveries pass once what they need was found or made; one of them asks, the others wait for its answer.
actor StartGate {
    private var isOpen = false
    private var asking: Task<Verdict?, Never>?

    /// Why nothing may pass; nil if it may.
    func enter(_ check: @escaping @Sendable () async -> Verdict?) async -> Verdict? {
        if isOpen { return nil }
        let task = asking ?? Task { await check() }
        asking = task
        let refused = await task.value
        if asking == task {
            asking = nil
            isOpen = refused == nil
        }
        return refused
    }

    /// What was found is doubted.
    func shut() { isOpen = false }
}
