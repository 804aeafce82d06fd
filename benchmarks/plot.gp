# gnuplot -c benchmarks/plot.gp VALUES SVG: the speed of random reads for each depth.
set terminal svg size 800,440 background '#ffffff' font 'sans-serif,13' noenhanced
set output ARG2
set title '4 KiB random reads past the page cache, beside liburing'
set xlabel 'requests in flight'
set ylabel 'speed; liburing = 1'
set logscale x 2
set xtics (1, 8, 32, 128)
set xrange [0.9:140]
set yrange [0:*]
set grid ytics
set key outside right top
set linetype 1 linecolor rgb '#d62728' linewidth 2.5
set linetype 2 linecolor rgb '#ff7f0e' linewidth 2.5
set linetype 3 linecolor rgb '#8c564b' linewidth 2.5
set linetype 4 linecolor rgb '#7f7f7f'
set linetype 5 linecolor rgb '#1f77b4'
set linetype 6 linecolor rgb '#2ca02c'
set linetype 7 linecolor rgb '#9467bd'

names = 'asioq_uring asioq_pool asioq_strict plain asio libuv posix_aio'
array titles[7] = ['asioq, io_uring', 'asioq, 4 threads', 'asioq, strict', 'pread(2)', 'Asio', 'libuv', 'POSIX AIO']
# Each line of the file is group/name/depth, a tab, and the figure.
points(name) = sprintf("< awk -F'[/\t]' '$1 == \"random_read\" && $2 == \"%s\" { print $3, $4 }' '%s'", name, ARG1)
plot 1 with lines linecolor rgb 'black' dashtype 2 title 'liburing', \
  for [i = 1:7] points(word(names, i)) using 1:2 with linespoints linetype i pointtype 7 pointsize 0.5 title titles[i]
