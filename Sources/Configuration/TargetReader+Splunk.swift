import Model

extension TargetReader {
    func readSplunk(_ target: inout Target) {
        target.index = section.text("index", maxBytes: 255)?.value
        target.acknowledge = section.flag("acknowledge") ?? false
        if target.acknowledge {
            target.maxConcurrency = Target.acknowledgedConcurrency
            // What waits for its acknowledgement is no load, and would keep others from leaving.
            target.minConcurrency = 4
        }
        guard let wait = section.duration("acknowledgeTimeout", in: 5_000...3_600_000) else { return }
        target.acknowledgeTimeoutMilliseconds = wait.value
        guard !target.acknowledge else { return }
        section.problems.add(
            wait.position, wait.keyPath, "is for acknowledgements, which are not switched on",
            hint: "add `acknowledge: true`, or remove the key")
    }
}
