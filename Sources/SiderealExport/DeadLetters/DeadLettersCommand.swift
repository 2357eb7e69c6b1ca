import ArgumentParser

/// `dead-letters`: what was given up, and what to do about it.
struct DeadLettersCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dead-letters",
        abstract: "Look at records that were given up, try them again, or discard them.",
        discussion: """
            A record becomes a dead letter when a target refuses it for good, when it could not be delivered within the \
            retry window, or when it is no valid probe result. The ledger keeps its bytes and the reason.

            All of these also work while an exporter uses the same --state directory.

            Examples:
              sidereal-export dead-letters list
              sidereal-export dead-letters show 17
              sidereal-export dead-letters retry --config sidereal.yaml --target splunk
              sidereal-export dead-letters discard 17 --note 'test record, CHG-4711'
            """,
        subcommands: [DeadLetterList.self, DeadLetterShow.self, DeadLetterRetry.self, DeadLetterDiscard.self])
}
