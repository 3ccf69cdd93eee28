// A mongo-java-server on a free port of this machine, whose address is the one line it prints.
// Run from its source by a Java Development Kit: java -cp 'folder/*' MongoWire.java

import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import java.util.List;

public class MongoWire {
    /** The library's own "5.0" announces the wire version of 4.2, which drivers of today refuse; 5.0's is 13. */
    static final class FiveZero implements MongoVersion {
        public List<Integer> getVersionArray() {
            return List.of(5, 0, 0);
        }

        public int getWireVersion() {
            return 13;
        }
    }

    public static void main(String[] arguments) {
        MongoServer server = new MongoServer(new MemoryBackend().version(new FiveZero()));
        server.bind("127.0.0.1", 0);
        System.out.println(server.getConnectionString());
        System.out.flush();
    }
}
