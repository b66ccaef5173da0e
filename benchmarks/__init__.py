"""Studies and measurements that stand behind the documents; run from the checkout."""
