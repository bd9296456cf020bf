using System;
using System.Collections.Generic;

class Heap
{
    static void Main()
    {
        var map = new Dictionary<int, string>();
        var list = new List<int[]>();
        for (int i = 0; i < 800000; i++) {
            map[i] = "k" + i;
            list.Add(new int[] { (int)(i * 7919L % 1000003), i, i ^ 77 });
        }
        list.Sort((a, b) => a[0] != b[0] ? a[0] - b[0] : a[1] - b[1]);
        long sum = 0;
        foreach (var a in list)
            sum += a[0] * (long)(a[2] % 7) + map[a[1]].Length;
        var big = new double[10000000];
        for (int i = 0; i < big.Length; i++)
            big[i] = i % 1009;
        double total = 0;
        foreach (double d in big)
            total += d;
        Console.WriteLine(map.Count + " " + sum + " " + list[77777][1] + " " + total);
    }
}
