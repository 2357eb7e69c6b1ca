/// The tables, as steps from one version to the next.
///
/// The file's `user_version` counts the steps taken, its `application_id` says that it is ours. A step is never
/// edited once released: a new one is added at the end.
enum Schema {
    /// "SdLg".
    static let applicationID: Int64 = 0x5364_4C67

    static let migrations: [String] = [
        """
        CREATE TABLE source (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            path TEXT NOT NULL,
            fingerprint BLOB NOT NULL,
            fingerprint_length INTEGER NOT NULL,
            finished INTEGER NOT NULL DEFAULT 0,
            UNIQUE (path, fingerprint_length, fingerprint)
        ) STRICT;
        CREATE TABLE progress (
            target TEXT NOT NULL,
            source INTEGER NOT NULL,
            start INTEGER NOT NULL,
            end INTEGER NOT NULL,
            sum INTEGER NOT NULL,
            PRIMARY KEY (target, source, start)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE total (
            target TEXT NOT NULL,
            source INTEGER NOT NULL,
            records INTEGER NOT NULL,
            bytes INTEGER NOT NULL,
            PRIMARY KEY (target, source)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE file_length (
            target TEXT NOT NULL PRIMARY KEY,
            path TEXT NOT NULL,
            length INTEGER NOT NULL,
            sum INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE dead_letter (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            target TEXT NOT NULL,
            source INTEGER NOT NULL,
            position INTEGER NOT NULL,
            uid TEXT NOT NULL,
            reason TEXT NOT NULL,
            code TEXT NOT NULL,
            first_attempt INTEGER NOT NULL,
            last_attempt INTEGER NOT NULL,
            attempts INTEGER NOT NULL,
            bytes BLOB NOT NULL,
            sum INTEGER NOT NULL,
            UNIQUE (target, source, position)
        ) STRICT;
        PRAGMA application_id = \(applicationID);
        """,
        // A row for each stretch of a batch in flight. `ack` is -1 without a receipt.
        """
        CREATE TABLE in_flight (
            batch INTEGER NOT NULL,
            part INTEGER NOT NULL,
            target TEXT NOT NULL,
            source INTEGER NOT NULL,
            start INTEGER NOT NULL,
            end INTEGER NOT NULL,
            channel TEXT NOT NULL,
            ack INTEGER NOT NULL,
            sent_at INTEGER NOT NULL,
            sum INTEGER NOT NULL,
            PRIMARY KEY (batch, part)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX in_flight_place ON in_flight (target, source, start);
        """,
        removals,
        // A row for each target and commit of a worker in a cluster, until its leader has it. Numbers are never reused.
        """
        CREATE TABLE told (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            target TEXT NOT NULL,
            kind INTEGER NOT NULL,
            reason TEXT NOT NULL,
            records BLOB NOT NULL,
            sum INTEGER NOT NULL
        ) STRICT;
        """,
        packedRows,
        // Whether a worker's leader was told that a letter was delivered after all.
        """
        ALTER TABLE removed_letter ADD COLUMN told INTEGER NOT NULL DEFAULT 0;
        CREATE INDEX untold_letter ON removed_letter (target, source, id) WHERE told = 0 AND outcome = 'delivered';
        """,
    ]

    /// From here on records of told rows are packed, and `kind` says so (``ToldRow/packed``); rows from before stay as they are.
    /// The step itself changes nothing: it keeps programs away that do not know of it.
    private static let packedRows = "PRAGMA application_id = \(applicationID);"

    /// How long a dead letter's record was, and what became of those that are gone.
    private static let removals = """
        ALTER TABLE dead_letter ADD COLUMN length INTEGER NOT NULL DEFAULT 0;
        CREATE TABLE removed_letter (
            id INTEGER PRIMARY KEY,
            target TEXT NOT NULL,
            source INTEGER NOT NULL,
            position INTEGER NOT NULL,
            uid TEXT NOT NULL,
            reason TEXT NOT NULL,
            code TEXT NOT NULL,
            first_attempt INTEGER NOT NULL,
            last_attempt INTEGER NOT NULL,
            attempts INTEGER NOT NULL,
            size INTEGER NOT NULL,
            length INTEGER NOT NULL,
            digest BLOB NOT NULL,
            outcome TEXT NOT NULL,
            removed_at INTEGER NOT NULL,
            removed_by TEXT NOT NULL,
            note TEXT NOT NULL,
            sum INTEGER NOT NULL
        ) STRICT;
        """

    /// Refuses a file that is not ours or too new for us, before anything is written to it.
    static func check(_ connection: Connection) throws(LedgerError) {
        let version = Int(try connection.integer("PRAGMA user_version"))
        let application = try connection.integer("PRAGMA application_id")
        // A crash before the first step leaves an empty file: that one is ours to fill.
        let isEmpty = try connection.integer("SELECT count(*) FROM sqlite_schema") == 0
        if application != applicationID, !(isEmpty && application == 0 && version == 0) {
            throw LedgerError(
                .notALedger,
                "\(connection.path) is a database of another program (application id \(application)). Choose another"
                    + " state directory")
        }
        if version > migrations.count {
            throw LedgerError(
                .newerSchema(found: version, supported: migrations.count),
                "the ledger \(connection.path) has schema version \(version), and this program knows versions up to"
                    + " \(migrations.count). Use the newer program that wrote it")
        }
    }

    /// The version from which on there is a record of removals.
    static var removalsVersion: Int { (migrations.firstIndex(of: removals) ?? 0) + 1 }

    /// Refuses tables of an older program that still works with them.
    static func requireCurrent(_ connection: Connection, writtenBy exporter: Int32) throws(LedgerError) {
        let version = Int(try connection.integer("PRAGMA user_version"))
        guard version != migrations.count else { return }
        throw LedgerError(
            .locked(pid: exporter),
            "the ledger \(connection.path) has schema version \(version) and is in use by an exporter of an older"
                + " version, pid \(exporter). Use that version's own program, or stop it first")
    }

    /// Takes the steps that are missing, each in a transaction of its own.
    static func migrate(_ connection: Connection) throws(LedgerError) {
        let version = Int(try connection.integer("PRAGMA user_version"))
        guard version >= 0 else {
            throw .corrupt(connection.path, "its schema version is \(version)")
        }
        for step in version..<migrations.count {
            try connection.transaction { () throws(LedgerError) in
                try connection.execute(migrations[step], doing: "create the tables of")
                try connection.execute("PRAGMA user_version = \(step + 1)", doing: "create the tables of")
            }
        }
    }
}
